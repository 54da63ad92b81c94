"""What an inspection of a gallery finds."""

from dataclasses import dataclass
from enum import Enum

from facegrid.domain.galleries import IndexRows


class Problem(Enum):
    """What may be wrong. A finding's name is an encounter's id, save where another is said here."""

    NOT_INDEXED = "not indexed"  # the records have it, the index has not
    NOT_RECORDED = "not recorded"  # the index has it, the records have not
    DIFFERENT = "different"  # the index has other vectors of it, or another subject
    LABELS_OUT_OF_DATE = "labels out of date"  # the index has other metadata, sub-galleries or status of it
    UNFINISHED = "unfinished"  # an enrolment that was broken off
    LATE_MARK = "late mark"  # the commit mark of what was removed, which came after the removal
    NOT_ERASED = "not erased"  # objects of what was deleted, replaced or compacted
    EMPTY_SUBJECT = "empty subject"  # nothing but its folder is left; the hash of its id
    PHOTOGRAPH_MISSING = "photograph missing"  # one that is said to be kept
    DAMAGED = "damaged"  # its objects; or another object, the end of its key; or a subject's, its hash
    UNNAMED_SEGMENT = "unnamed segment"  # that no manifest names; the last part of its key
    UNUSED_CLAIM = "unused claim"  # of an enrolment that ended before it wrote
    SET_ASIDE = "set aside"  # by an earlier repair, because it was damaged

    @property
    def harmless(self) -> bool:
        """Whether nothing has to be done about it."""
        return self in {Problem.UNUSED_CLAIM, Problem.SET_ASIDE}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, its name, and whether it was repaired."""

    problem: Problem
    name: str
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Inspected:
    """A part of a gallery's records: the index rows of what is sound, and what is wrong with the rest.

    `encounters` are sound, those included that searches do not find; `compacted` says that they are rows of
    segments. Where the gallery can't be opened, `unreadable`, the findings are all that can be told.
    """

    rows: IndexRows
    encounters: int = 0
    samples: int = 0
    compacted: bool = False
    findings: tuple[Finding, ...] = ()
    unreadable: bool = False
