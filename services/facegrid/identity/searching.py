"""What the use cases that compare with galleries share: where they look, and their account of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from facegrid.domain.errors import InvalidField
from facegrid.domain.filters import UNRESTRICTED, Filter, Restriction
from facegrid.domain.galleries import Gallery
from facegrid.domain.names import check_name

_MOST_SUBJECTS, MOST_GALLERIES = 10_000, 32


@dataclass(frozen=True, slots=True)
class SearchReport:
    """What a probe was compared with, and where the time went (milliseconds)."""

    gallery: Gallery
    revision: int
    subjects_searched: int
    exact: bool
    detect_ms: float = 0.0
    embed_ms: float = 0.0
    search_ms: float = 0.0
    probe_id: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True, slots=True)
class Scope:
    """Where Identify looks beside its gallery, and for whom alone; everywhere for all where it is empty."""

    other_galleries: Sequence[str] = ()
    subject_ids: Sequence[str] = ()
    filter: Filter | None = None

    def check(self, gallery: str) -> None:
        """Raise InvalidField for too many galleries or subjects, for one named twice, for what is no id."""
        galleries = [gallery, *self.other_galleries]
        if len(galleries) > MOST_GALLERIES or len(set(galleries)) < len(galleries):
            raise InvalidField(
                f"other_galleries has {len(self.other_galleries)} entries; name up to {MOST_GALLERIES - 1}, "
                "none twice, nor the gallery itself",
                field="other_galleries",
            )
        if len(self.subject_ids) > _MOST_SUBJECTS:
            raise InvalidField(
                f"subject_ids has {len(self.subject_ids)} entries; send {_MOST_SUBJECTS} at most",
                field="subject_ids",
            )
        for number, subject_id in enumerate(self.subject_ids):
            check_name(subject_id, f"subject_ids[{number}]")

    def restriction(self, excluded: str = "") -> Restriction:
        """Return what the index is to keep to, leaving out a subject."""
        restriction = Restriction(
            self.filter,
            frozenset(self.subject_ids) if self.subject_ids else None,
            frozenset([excluded]) if excluded else frozenset(),
        )
        return UNRESTRICTED if restriction == UNRESTRICTED else restriction


EVERYWHERE = Scope()
