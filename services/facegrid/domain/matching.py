"""From scores to candidates and decisions."""

from collections.abc import Iterable
from dataclasses import dataclass

from facegrid.domain.errors import InvalidField
from facegrid.domain.packs import Threshold

MAX_CANDIDATES = 1000


@dataclass(frozen=True, slots=True)
class Hit:
    """A stored sample that a search found, and its score; `gallery` is its name once a search is done."""

    subject_id: str
    encounter_id: str
    sample: int
    score: float
    gallery: str = ""


def is_match(score: float, threshold: Threshold) -> bool:
    """Decide: a score equal to the threshold is a match."""
    return score >= threshold.value


def best_per_subject(hits: Iterable[Hit]) -> list[Hit]:
    """Return each subject's best sample, best subject first; ties go to the lower subject id."""
    best: dict[str, Hit] = {}
    for hit in sorted(hits, key=lambda hit: (-hit.score, hit.subject_id, hit.encounter_id, hit.sample)):
        best.setdefault(hit.subject_id, hit)
    return list(best.values())


def is_settled(hits: list[Hit], top: int) -> bool:
    """Say whether samples beyond these hits (all that score above the lowest) cannot change the top.

    They can where fewer than `top` subjects were found, or where the last one ties with the lowest hit.
    """
    ranked = best_per_subject(hits)
    return len(ranked) >= top and ranked[top - 1].score > min(hit.score for hit in hits)


def check_top(top: int) -> int:
    """Return the number of candidates asked for. Raises InvalidField outside 1..1000."""
    if not 1 <= top <= MAX_CANDIDATES:
        raise InvalidField(f"top is {top}; ask for 1 to {MAX_CANDIDATES} candidates", field="top")
    return top


def check_threshold(value: float, field: str) -> float:
    """Return an operator's threshold. Raises InvalidField outside -1..1."""
    if not -1.0 <= value <= 1.0:
        raise InvalidField(f"{field} is {value}; a score lies between -1 and 1", field=field)
    return value
