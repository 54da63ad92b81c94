"""Check: a gallery's records, and its index beside them, both ways; and their repair."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from facegrid.domain.errors import DamagedRecords
from facegrid.domain.fingerprints import Comparison, Fingerprints
from facegrid.domain.galleries import Gallery, IndexEntry, IndexRows, index_entries, index_rows
from facegrid.domain.inspection import Finding, Inspected, Problem
from facegrid.identity.galleries import Galleries
from facegrid.identity.ports import Records
from facegrid.identity.projection import Projection
from facegrid.identity.writes import Writes


@dataclass(frozen=True, slots=True)
class CheckStep:
    """How far a check is: what it found since the last step, and what it has read of records and index."""

    findings: tuple[Finding, ...]
    encounters: int
    samples: int
    indexed: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found in all. `indexed` counts rows of the index, `compacted` encounters in segments.

    It is not `complete` where the records can't be opened, so that the index was compared with nothing.
    """

    found: Mapping[Problem, int]
    repaired: Mapping[Problem, int]
    encounters: int
    samples: int
    compacted: int
    indexed: int
    complete: bool
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether all was compared and nothing is wrong that was not repaired."""
        wrong = (one for one, count in self.found.items() if count > self.repaired.get(one, 0))
        return self.complete and all(one.harmless for one in wrong)


class CheckGallery:
    """Checks galleries, beside all other calls."""

    def __init__(
        self, galleries: Galleries, records: Records, projection: Projection, writes: Writes
    ) -> None:
        """Take the galleries, the records, the projection, and the writes."""
        self._galleries, self._records = galleries, records
        self._projection, self._writes = projection, writes

    async def __call__(self, gallery_name: str, *, repair: bool) -> AsyncGenerator[CheckStep | Checked, None]:
        """Yield what is found step by step, and what that is in all. Raises GalleryNotFound.

        What is damaged is set aside by a repair and never removed; then the index is made equal to the
        records. Of what a running call changes, nothing is reported.
        """
        gallery = await self._galleries.get(gallery_name)
        work = _Work(gallery, self._records, self._projection, self._writes, repair)
        start, found, repaired = time.perf_counter(), Counter[Problem](), Counter[Problem]()
        async with aclosing(work.steps()) as steps:
            async for step in steps:
                found.update(one.problem for one in step.findings)
                repaired.update(one.problem for one in step.findings if one.repaired)
                yield step
        yield Checked(
            found,
            repaired,
            work.encounters,
            work.samples,
            work.compacted,
            work.indexed,
            work.complete,
            time.perf_counter() - start,
        )


class _Work:
    """One check."""

    def __init__(
        self, gallery: Gallery, records: Records, projection: Projection, writes: Writes, repair: bool
    ) -> None:
        self._gallery, self._records, self._projection = gallery, records, projection
        self._writes, self._repair = writes, repair
        self.encounters = self.samples = self.compacted = self.indexed = 0
        self.complete = False

    async def steps(self) -> AsyncGenerator[CheckStep, None]:
        fingerprints, readable = Fingerprints(), True
        inspection = self._records.inspect(self._gallery, self._writes.hold, repair=self._repair)
        async with aclosing(inspection) as parts:
            async for part in parts:
                self._take_in(part, fingerprints)
                readable = readable and not part.unreadable
                yield self._step(part.findings)
        if readable and await self._is_loaded():
            async for step in self._compare(await asyncio.to_thread(fingerprints.comparison)):
                yield step
            self.complete = True

    def _take_in(self, part: Inspected, fingerprints: Fingerprints) -> None:
        self.encounters += part.encounters
        self.samples += part.samples
        self.compacted += part.encounters if part.compacted else 0
        for entry in index_entries(part.rows):
            fingerprints.add(entry.name, entry.content)

    async def _is_loaded(self) -> bool:
        try:
            await self._projection.fill(self._gallery)
        except DamagedRecords:
            return False
        return True

    async def _compare(self, records: Comparison) -> AsyncGenerator[CheckStep, None]:
        """Compare the index with the records, then what it was not seen to hold of these with it."""
        async for page in self._projection.entries(self._gallery):
            self.indexed += len(page)
            unlike = [one for one in page if not records.meet(one.name, one.content)]
            yield self._step(await self._look_closely((one.subject_id, one.encounter_id) for one in unlike))
        if records.all_met:
            return
        async with aclosing(self._records.live_rows(self._gallery)) as batches:
            async for rows in batches:
                names = zip(rows.subject_ids, rows.encounter_ids, rows.keys, strict=True)
                pairs = [(owner, one) for owner, one, key in names if not records.met(f"{owner}/{key}")]
                yield self._step(await self._look_closely(pairs))

    async def _look_closely(self, suspects: Iterable[tuple[str, str]]) -> list[Finding]:
        """Look again at encounters of subjects, one subject after the other, while nobody writes to it."""
        ids = defaultdict[str, set[str]](set)
        for subject_id, encounter_id in suspects:
            ids[subject_id].add(encounter_id)
        findings = []
        for subject_id, encounter_ids in ids.items():
            async with self._writes.hold(self._gallery, subject_id):
                findings += await self._look_at(subject_id, encounter_ids)
        return findings

    async def _look_at(self, subject_id: str, encounter_ids: set[str]) -> list[Finding]:
        try:
            subject = await self._records.subject(self._gallery, subject_id)
        except DamagedRecords:
            return []  # the records' inspection says so
        encounters = subject.encounters if subject else ()
        rows = index_rows(encounters, self._gallery.dimension)
        both = sorted(encounter_ids.union(rows.encounter_ids))
        held = [one async for page in self._projection.entries(self._gallery, both) for one in page]
        kept = {one.encounter_id for one in encounters}
        found = _differences(subject_id, rows, held, kept)
        if self._repair and found:
            wrong = [row for row, one in enumerate(rows.encounter_ids) if one in found]
            shown = {Problem.NOT_INDEXED, Problem.LABELS_OUT_OF_DATE}
            gone = [one for one in found if one not in rows.encounter_ids or found[one] not in shown]
            await self._projection.mend(self._gallery, rows.take(wrong), gone)
        return [Finding(problem, one, self._repair) for one, problem in found.items()]

    def _step(self, findings: Collection[Finding]) -> CheckStep:
        return CheckStep(tuple(findings), self.encounters, self.samples, self.indexed)


def _differences(
    subject_id: str, rows: IndexRows, held: Sequence[IndexEntry], kept: Collection[str]
) -> dict[str, Problem]:
    """Say of each encounter of a subject how what the index holds of it differs from its rows.

    Of encounters that are `kept` and have no row, the index has not learned that they are inactive.
    """
    wanted, known = {one.key: one for one in index_entries(rows)}, set(rows.encounter_ids)
    entries = {one.key: one for one in held}
    found: dict[str, Problem] = {}
    for one in held:
        if one.key not in wanted and one.subject_id == subject_id:
            other = Problem.LABELS_OUT_OF_DATE if one.encounter_id in kept else Problem.NOT_RECORDED
            found[one.encounter_id] = Problem.DIFFERENT if one.encounter_id in known else other
    for key, row in wanted.items():
        if key not in entries:
            found.setdefault(row.encounter_id, Problem.NOT_INDEXED)
        elif (entries[key].name, entries[key].checksum) != (row.name, row.checksum):
            found[row.encounter_id] = Problem.DIFFERENT
        elif entries[key].labels != row.labels:
            found.setdefault(row.encounter_id, Problem.LABELS_OUT_OF_DATE)
    return found
