"""What a migration to another pack reports: how far it is, what it leaves behind, what decisions change."""

from dataclasses import dataclass, field
from enum import Enum

from facegrid.domain.errors import InvalidField


class LeftBehindReason(Enum):
    """Why an encounter is not in the other gallery of a migration."""

    PHOTOGRAPH_NOT_KEPT = "photograph_not_kept"
    PHOTOGRAPH_UNREADABLE = "photograph_unreadable"
    FACE_NOT_FOUND = "face_not_found"


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """An encounter that the other gallery of a migration lacks. Encounters move whole or not at all."""

    subject_id: str
    encounter_id: str
    reason: LeftBehindReason


@dataclass(frozen=True, slots=True)
class ShadowCounts:
    """Decisions on searches that were made in both galleries of a migration.

    `lost` are matches that the twin does not make, `gained` those that it alone makes, `other_subject` those
    of both in which it puts another subject first. In `unseen` the twin's pack did not find the face.
    """

    agreed: int = 0
    lost: int = 0
    gained: int = 0
    other_subject: int = 0
    unseen: int = 0


@dataclass(frozen=True, slots=True)
class MigrationProgress:
    """How many of a gallery's subjects have been looked at since the server started, and what was found."""

    subjects: int
    subjects_done: int
    left_behind: int
    shadowed: ShadowCounts = field(default_factory=ShadowCounts)


def check_share(share: float, field: str) -> float:
    """Return a share of searches. Raises InvalidField outside 0..1."""
    if not 0.0 <= share <= 1.0:
        raise InvalidField(f"{field} is {share}; a share lies between 0 and 1", field=field)
    return share
