"""Audit: how much a gallery's index misses of what exact search finds."""

import time
from dataclasses import dataclass

from facegrid.domain.calls import Call
from facegrid.domain.errors import InvalidField
from facegrid.identity.galleries import Galleries
from facegrid.identity.probing import Outcome, Trial, Trials
from facegrid.identity.progress import Report
from facegrid.identity.projection import Projection

DEFAULT_SAMPLE, LARGEST_SAMPLE = 1_000, 100_000


@dataclass(frozen=True, slots=True)
class GalleryAudit:
    """What an audit found in a gallery of so many subjects, as of the revision at its start."""

    trial: Trial
    revision: int
    subjects: int
    exact: bool
    outcome: Outcome
    seconds: float


class AuditGallery:
    """Compares a gallery's index with exact search."""

    def __init__(self, galleries: Galleries, projection: Projection, trials: Trials) -> None:
        """Take the galleries, the projection, and what makes the trials."""
        self._galleries, self._projection, self._trials = galleries, projection, trials

    async def __call__(self, call: Call, gallery_name: str, sample: int, report: Report) -> GalleryAudit:
        """Return what `sample` probes found of each kind of subject.

        Raises InvalidField, GalleryNotFound, IndexLoading and StoreUnavailable.
        """
        check_sample(sample)
        start, gallery = time.perf_counter(), await self._galleries.get(gallery_name)
        await self._projection.ready(gallery, call.deadline)
        revision, subjects = self._projection.revision(gallery), self._projection.subject_count(gallery)
        trial = await self._trials.prepare(gallery, sample, report)
        return GalleryAudit(
            trial,
            revision,
            subjects,
            self._projection.is_exact(gallery),
            await self._trials.search(trial, gallery, report),
            time.perf_counter() - start,
        )


def check_sample(sample: int) -> int:
    """Return the number of probes. Raises InvalidField outside 1..100,000."""
    if not 1 <= sample <= LARGEST_SAMPLE:
        raise InvalidField(f"sample is {sample}; ask for 1 to {LARGEST_SAMPLE} probes", field="sample")
    return sample
