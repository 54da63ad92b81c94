"""What Verify and Identify share: the answer's account of what was searched."""

from dataclasses import dataclass, field
from uuid import uuid4

from facegrid.domain.galleries import Gallery


@dataclass(frozen=True, slots=True)
class SearchReport:
    """What a probe was compared with, and where the time went (milliseconds)."""

    gallery: Gallery
    revision: int
    subjects_searched: int
    exact: bool
    detect_ms: float
    embed_ms: float
    search_ms: float
    probe_id: str = field(default_factory=lambda: uuid4().hex)
