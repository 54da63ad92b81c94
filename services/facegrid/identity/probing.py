"""Probes of a gallery's own subjects, which its index does not hold, and what exact search finds for them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np

from facegrid.domain.audits import AUDITED_TOP, Comparison, Ranked, Tally, compare
from facegrid.domain.exact import ExactSearch
from facegrid.domain.galleries import Gallery, IndexRows, Subject
from facegrid.domain.matching import Hit
from facegrid.domain.probes import Probes, SampledSubject, probes_of
from facegrid.domain.sampling import Collector, Survey
from facegrid.identity.ports import Records
from facegrid.identity.progress import Progress, Report
from facegrid.identity.projection import Projection

T = TypeVar("T")
_TIMED, _BATCH = 200, 16


@dataclass(frozen=True, slots=True)
class Trial:
    """Probes of a gallery of so many `templates`, and the best subjects that exact search finds for each."""

    gallery: Gallery
    templates: int
    probes: Probes
    exact: Sequence[Ranked] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the index did: with subjects of one template, of several, and in what time (milliseconds)."""

    one: Tally
    several: Tally
    times_ms: Sequence[float]


class Trials:
    """Makes trials ready, and holds the index against them.

    Exact search reads the records, blocks of them at a time, and calculates in threads of its own. What
    changes meanwhile is no miss: one counts where the subject still has all that the probe was made of.
    """

    def __init__(self, records: Records, projection: Projection, threads: Executor) -> None:
        """Take the records, the projection and the threads that calculate."""
        self._records, self._projection, self._threads = records, projection, threads

    async def prepare(self, gallery: Gallery, sample: int, report: Report) -> Trial:
        """Make `sample` probes of subjects with one template, and of such with several."""
        rng, survey = np.random.default_rng(), Survey()
        report(Progress("building the index", 0, 0))
        await self._projection.build(gallery)
        async for done in self.each_block(gallery, survey.add):
            report(Progress("counting templates", done, 0))
        collector = Collector(survey.draw(sample, gallery.dimension, rng))
        async for done in self.each_block(gallery, collector.add):
            report(Progress("drawing subjects", done, survey.rows))
        threshold = gallery.thresholds.identify.value
        probes = await self._run(partial(probes_of, collector.drawn(), threshold, gallery.dimension, rng))
        exact = ExactSearch(probes.vectors, AUDITED_TOP)
        async for done in self.each_block(gallery, exact.add):
            report(Progress("searching exactly", done, survey.rows))
        return Trial(gallery, survey.rows, probes, exact.best())

    async def search(self, trial: Trial, gallery: Gallery, report: Report) -> Outcome:
        """Search the index for a trial's probes, the first 200 one by one, as `gallery` has it set."""
        found: list[list[Hit]] = []
        times, probes = [], trial.probes.vectors
        while len(found) < len(probes):
            step = 1 if len(found) < _TIMED else _BATCH
            start, part = time.perf_counter(), probes[len(found) : len(found) + step]
            found += await self._projection.search(gallery, part, AUDITED_TOP)
            if step == 1:
                times.append(1000 * (time.perf_counter() - start))
            report(Progress("searching the index", len(found), len(probes)))
        compared = await self._compare(trial, found)
        return Outcome(
            Tally.of(one for subject, one in compared if not subject.has_several),
            Tally.of(one for subject, one in compared if subject.has_several),
            times,
        )

    async def each_block(self, gallery: Gallery, work: Callable[[IndexRows], object]) -> AsyncIterator[int]:
        """Let work be done with each block of a gallery's rows; yields the number of rows that are done."""
        done = 0
        async with aclosing(self._records.live_rows(gallery)) as stream:
            async for rows in stream:
                await self._run(partial(work, rows))
                done += len(rows)
                yield done

    async def _compare(
        self, trial: Trial, found: Sequence[Sequence[Hit]]
    ) -> list[tuple[SampledSubject, Comparison]]:
        threshold = trial.gallery.thresholds.identify.value
        compared = [
            (subject, compare(exact, hits, threshold, subject.subject_id))
            for subject, exact, hits in zip(trial.probes.subjects, trial.exact, found, strict=True)
        ]
        return [one for one in compared if not one[1].missed or await self._is_there(trial.gallery, one[0])]

    async def subject(self, gallery: Gallery, subject_id: str) -> Subject | None:
        """Return a subject as it is now; None where there is none."""
        return await self._records.subject(gallery, subject_id)

    async def _is_there(self, gallery: Gallery, sampled: SampledSubject) -> bool:
        subject = await self.subject(gallery, sampled.subject_id)
        return subject is not None and set(sampled.encounter_ids) <= {
            encounter.encounter_id for encounter in subject.encounters
        }

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
