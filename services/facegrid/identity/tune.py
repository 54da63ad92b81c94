"""Tuning: the smallest search effort at which an approximate index provably misses little enough."""

import statistics
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from facegrid.domain.audits import Tally
from facegrid.domain.calls import Call
from facegrid.domain.errors import InvalidField
from facegrid.domain.galleries import Gallery
from facegrid.domain.intervals import trials_needed
from facegrid.identity.audit import LARGEST_SAMPLE, check_sample
from facegrid.identity.galleries import Galleries
from facegrid.identity.probing import Trial, Trials
from facegrid.identity.progress import Report
from facegrid.identity.projection import Projection

_EFFORTS = [2**power for power in range(10, -1, -1)]  # of 1,024 lists at most


class Verdict(Enum):
    """What came of a tuning."""

    FOUND = "found"
    SAMPLE_TOO_SMALL = "sample_too_small"
    BOUND_NOT_MET = "bound_not_met"
    TOO_SLOW = "too_slow"


@dataclass(frozen=True, slots=True)
class Goal:
    """What is asked of an index: the share of mates missed, and the median time in milliseconds (0: any)."""

    max_added_miss_rate: float
    max_ms: float

    def __post_init__(self) -> None:
        """Raise InvalidField for what no index can reach."""
        if not 0 < self.max_added_miss_rate < 1:
            raise InvalidField(
                f"max_added_miss_rate is {self.max_added_miss_rate}; ask for a share above 0 and below 1",
                field="max_added_miss_rate",
            )
        if not self.max_ms >= 0:
            raise InvalidField(f"max_ms is {self.max_ms}; ask for 0 or more", field="max_ms")

    @property
    def sample_needed(self) -> int:
        """The fewest mates that can prove it."""
        return trials_needed(self.max_added_miss_rate)


@dataclass(frozen=True, slots=True)
class EffortTrial:
    """What was measured at one effort, with the subjects that the bound is on."""

    effort: int
    tally: Tally
    times_ms: Sequence[float]

    def keeps(self, goal: Goal) -> bool:
        """Say whether the bound is kept, with 95 % confidence."""
        return self.tally.highest_added_miss_rate < goal.max_added_miss_rate


@dataclass(frozen=True, slots=True)
class GalleryTuning:
    """What was measured, the greatest effort first, and the effort to search with; 0 where there is none."""

    verdict: Verdict
    goal: Goal
    effort: int
    trials: Sequence[EffortTrial]
    applied: bool = False


class TuneGallery:
    """Finds how hard an index must search.

    Efforts are tried from the greatest down, with the same probes, until one fails: in such a fixed order
    each can be tested at the full level of confidence (Maurer, Hothorn and Lehmacher, in Vollmar, Biometrie
    in der chemisch-pharmazeutischen Industrie 6, 1995). From the smallest up, chance would have many tries.
    """

    def __init__(self, galleries: Galleries, projection: Projection, trials: Trials) -> None:
        """Take the galleries, the projection, and what makes the trials."""
        self._galleries, self._projection, self._trials = galleries, projection, trials

    async def __call__(
        self, call: Call, gallery_name: str, goal: Goal, sample: int, report: Report, *, apply: bool
    ) -> GalleryTuning:
        """Return the smallest effort that reaches the goal with `sample` probes, and store it if asked to.

        Where `sample` is 0, it is twice the least that can prove the bound. Raises InvalidField,
        GalleryNotFound, IndexLoading and StoreUnavailable.
        """
        sample = check_sample(sample or min(2 * goal.sample_needed, LARGEST_SAMPLE))
        gallery = await self._galleries.get(gallery_name)
        if self._projection.is_exact(gallery):
            raise InvalidField(
                f"gallery {gallery_name} is searched exactly and misses nothing; name an approximate one",
                field="gallery",
            )
        if sample < goal.sample_needed:
            return GalleryTuning(Verdict.SAMPLE_TOO_SMALL, goal, 0, [])
        await self._projection.ready(gallery, call.deadline)
        trial = await self._trials.prepare(gallery, sample, report)
        tuning = _tuning(goal, [one async for one in self._walk(trial, goal, report)])
        if not (apply and tuning.effort):
            return tuning
        await self._galleries.set_search_parameters(gallery_name, tuning.effort)
        return replace(tuning, applied=True)

    async def _walk(self, trial: Trial, goal: Goal, report: Report) -> AsyncIterator[EffortTrial]:
        """Try efforts from the greatest down until one does not keep the bound."""
        for effort in _EFFORTS:
            outcome = await self._trials.search(trial, _with_effort(trial.gallery, effort), report)
            tally = outcome.one if outcome.one.probes else outcome.several
            tried = EffortTrial(effort, tally, outcome.times_ms)
            yield tried
            if not tried.keeps(goal):
                return


def _with_effort(gallery: Gallery, effort: int) -> Gallery:
    return replace(gallery, index=replace(gallery.index, nprobe=effort))


def _tuning(goal: Goal, trials: Sequence[EffortTrial]) -> GalleryTuning:
    kept = [one for one in trials if one.keeps(goal)]
    if kept and goal.max_ms and statistics.median(kept[-1].times_ms) > goal.max_ms:
        return GalleryTuning(Verdict.TOO_SLOW, goal, 0, trials)
    if kept:
        return GalleryTuning(Verdict.FOUND, goal, kept[-1].effort, trials)
    enough = trials[0].tally.sought >= goal.sample_needed
    return GalleryTuning(Verdict.BOUND_NOT_MET if enough else Verdict.SAMPLE_TOO_SMALL, goal, 0, trials)
