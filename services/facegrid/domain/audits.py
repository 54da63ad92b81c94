"""What an index missed: its candidates held against those of an exact search."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from facegrid.domain.intervals import interval, upper_bound
from facegrid.domain.matching import Hit

AUDITED_TOP = 10
_TIE = 2e-6  # scores are rounded to six decimals, and the exact ones summed in another order

Ranked = Sequence[tuple[str, float]]  # subjects with their scores, best first


@dataclass(frozen=True, slots=True)
class Share:
    """A share of probes with its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One probe's searches: what they agree on, and the subject that only the exact one finds.

    `agreed_1` and `agreed_10` are the shares of the exact search's best subject, and best ten, that the
    index returned in as many places; subjects whose scores tie stand for each other. `sought` is the
    subject that exact search finds at or above the threshold, and that the probe is of where that is known;
    "" where there is none.
    """

    agreed_1: float
    agreed_10: float
    sought: str
    missed: bool


def compare(exact: Ranked, found: Sequence[Hit], threshold: float, mate: str = "") -> Comparison:
    """Compare the best ten of both; without a `mate` the exact search's first candidate is sought."""
    matches = [subject_id for subject_id, score in exact if score >= threshold]
    sought = next((one for one in matches if one == mate or not mate), "")
    return Comparison(
        _agreement(exact, found, 1),
        _agreement(exact, found, AUDITED_TOP),
        sought,
        missed=bool(sought)
        and not any(hit.subject_id == sought and hit.score >= threshold - _TIE for hit in found),
    )


def _agreement(exact: Ranked, found: Sequence[Hit], top: int) -> float:
    best, found = exact[:top], found[:top]
    if not best:
        return 1.0
    names, lowest = {subject_id for subject_id, _ in best}, best[-1][1]
    good = sum(hit.subject_id in names or abs(hit.score - lowest) <= _TIE for hit in found)
    return min(good, len(best)) / len(best)


@dataclass(frozen=True, slots=True)
class Tally:
    """Comparisons, added up."""

    probes: int = 0
    sought: int = 0
    missed: int = 0
    agreed_1: float = 0.0
    agreed_10: float = 0.0

    @classmethod
    def of(cls, comparisons: Iterable[Comparison]) -> Self:
        """Add comparisons up."""
        all_of_them = list(comparisons)
        return cls(
            len(all_of_them),
            sum(bool(one.sought) for one in all_of_them),
            sum(one.missed for one in all_of_them),
            sum(one.agreed_1 for one in all_of_them),
            sum(one.agreed_10 for one in all_of_them),
        )

    def __add__(self, other: "Tally") -> "Tally":
        """Add another's comparisons."""
        return Tally(
            self.probes + other.probes,
            self.sought + other.sought,
            self.missed + other.missed,
            self.agreed_1 + other.agreed_1,
            self.agreed_10 + other.agreed_10,
        )

    @property
    def recall_at_1(self) -> Share:
        """How often the index's first candidate is the exact search's."""
        return _share(self.agreed_1, self.probes)

    @property
    def recall_at_10(self) -> Share:
        """How many of the exact search's ten best subjects are among the index's."""
        return _share(self.agreed_10, self.probes)

    @property
    def added_miss_rate(self) -> Share:
        """How many of the mates that exact search finds at or above the threshold the index misses."""
        return _share(self.missed, self.sought)

    @property
    def highest_added_miss_rate(self) -> float:
        """The rate that the true one is below with 95 % confidence; 1 where nothing was sought."""
        return upper_bound(self.missed, self.sought) if self.sought else 1.0


def _share(count: float, total: int) -> Share:
    if not total:
        return Share(0.0, 0.0, 1.0)
    return Share(count / total, *interval(count, total))
