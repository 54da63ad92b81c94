"""An inspection of all records of a gallery, beside the calls that write to them."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Protocol, TypeVar

from facegrid.domain.fingerprints import Fingerprints
from facegrid.domain.galleries import Encounter, Gallery, index_rows
from facegrid.domain.inspection import Finding, Inspected, Problem
from facegrid.identity.ports import Hold
from facegrid.storage.objects.forms import Form
from facegrid.storage.objects.store import ObjectMissing, ObjectStore, UnreadableObject
from facegrid.storage.records.mending import Mending, is_readable
from facegrid.storage.records.subject_inspection import SubjectInspection, SubjectReport, kept_photographs
from facegrid.storage.records.subjects import StoredSubjects

T = TypeVar("T")
_BATCH = 500
_UNDER_WAY = timedelta(minutes=15)  # no enrolment takes as long


class Run(Protocol):
    """Runs what blocks in a thread."""

    def __call__(self, call: Callable[..., T], *args: Any) -> Awaitable[T]:
        """Return what it returns."""


@dataclass(frozen=True, slots=True)
class _Inspection:
    """Inspects a gallery and, where it is told to, repairs. Nothing may compact meanwhile.

    A subject of which something is wrong is looked at again while `hold` keeps writers away from it.
    """

    store: ObjectStore
    subjects: StoredSubjects
    run: Run
    hold: Hold
    repair: bool

    async def parts(self) -> AsyncGenerator[Inspected, None]:
        """Yield what is found, in parts."""
        findings = await self.run(lambda: [*self._set_aside(), *self._mend()])
        bad = [one for one in findings if one.problem is Problem.DAMAGED and not one.repaired]
        yield self._part([], findings)
        loose, photographs = set[str](), Fingerprints()
        folders = SubjectInspection(self.store, self.subjects)
        reports = folders.reports()
        while chunk := await self.run(_take, reports):
            # Objects may be all that is left of rows that can't be read.
            closer = [
                await self._closely(folders, one, tidy=not bad) if one.findings else one for one in chunk
            ]
            for report in closer:
                loose |= report.folder.committed | report.folder.unfinished
                for name in report.photographs:
                    photographs.add(name)
            findings = [finding for report in closer for finding in report.findings]
            yield self._part([one for report in closer for one in report.encounters], findings)
        kept = photographs.comparison()
        for segment in self.subjects.segments.view.segments:
            try:
                found = await self.run(self.subjects.segments.encounters, segment)
                while encounters := await self.run(_take, found):
                    bare = [one for one in encounters if not all(map(kept.meet, kept_photographs(one)))]
                    missing = [Finding(Problem.PHOTOGRAPH_MISSING, one.encounter_id) for one in bare]
                    yield self._part(encounters, missing, compacted=True)
            except (UnreadableObject, ObjectMissing):
                continue  # it is damaged, as was said
        yield self._part([], await self.run(self._others, loose))

    async def _closely(
        self, folders: SubjectInspection, first: SubjectReport, *, tidy: bool
    ) -> SubjectReport:
        """Look again, and repair."""
        prefix = first.folder.prefix
        if not first.subject_id:
            report = await self.run(folders.report, prefix)
            report.findings = await self.run(lambda: list(filter(self._is_settled, report.findings)))
            return await self._repaired(folders, report, alone=False)
        async with self.hold(self.subjects.gallery, first.subject_id):
            report = await self.run(folders.report, prefix)
            return await self._repaired(folders, report, alone=tidy)

    async def _repaired(
        self, folders: SubjectInspection, report: SubjectReport, *, alone: bool
    ) -> SubjectReport:
        if self.repair and report.findings:
            report.findings = await self.run(lambda: folders.repair(report, alone=alone))
        return report

    def _is_settled(self, finding: Finding) -> bool:
        """Say whether no enrolment can be under way that looks like this."""
        if finding.problem is not Problem.UNFINISHED:
            return True
        with suppress(UnreadableObject):
            return all(map(_is_old, self.subjects.claims.forms([finding.name]).values()))
        return False

    def _part(
        self, encounters: Sequence[Encounter], findings: Sequence[Finding], *, compacted: bool = False
    ) -> Inspected:
        return Inspected(
            index_rows(encounters, self.subjects.gallery.dimension),
            len(encounters),
            sum(len(one.samples) for one in encounters),
            compacted,
            tuple(findings),
        )

    @property
    def mending(self) -> Mending:
        """What looks at the objects that belong to no subject."""
        return Mending(self.store, self.subjects.gallery, self.repair)

    def _mend(self) -> Iterator[Finding]:
        segments, mending = self.subjects.segments, self.mending
        bad = {one.file: one for one in segments.view.segments if not is_readable(one.table)}
        with segments.writing:
            findings = list(mending.manifest(segments.view.manifest))
            if all(one.repaired for one in findings):
                segments.reload()
                findings += mending.segments(bad, self._is_stored)
            if any(one.repaired for one in findings):
                segments.reload()
        yield from findings
        yield from mending.tombstones(segments)
        yield from mending.amendments()
        yield from mending.claims(segments, self.subjects.stored_folders)

    def _is_stored(self, sid: str, one: str) -> bool:
        """Say whether all of an encounter is there as objects."""
        folder = self.subjects.folder_at(f"{self.subjects.layout.subjects}{sid}/")
        if one not in folder.committed or one in self.subjects.segments.erased:
            return False
        with suppress(UnreadableObject, ObjectMissing):
            marked = self.subjects.read_mark(folder, one)
            return folder.has_templates(marked) and one in self.subjects.claims.forms([one])
        return False

    def _others(self, loose: set[str]) -> list[Finding]:
        """Look at what belongs to no subject's folder."""
        return [*self._claims(loose), *self._segment_files()]

    def _claims(self, loose: set[str]) -> Iterator[Finding]:
        """Find claims without an encounter; one that a migration brings may not have come yet."""
        claims, segments = self.subjects.claims, self.subjects.segments
        removing = self.repair and self.subjects.gallery.twin is None
        for one in claims.stored():
            if one in loose or one in segments:
                continue
            with suppress(UnreadableObject):
                form = claims.forms([one]).get(one)
                if form and form["state"] == "active" and _is_old(form):
                    repaired = removing and "sid" in form and claims.remove_unused(one, form["sid"])
                    yield Finding(Problem.UNUSED_CLAIM, one, repaired)

    def _segment_files(self) -> Iterator[Finding]:
        segments = self.subjects.segments
        unnamed = segments.manifests.unnamed(segments.view.manifest)
        if self.repair and unnamed:
            segments.manifests.sweep(segments.view.manifest)
        for key in unnamed:
            yield Finding(Problem.UNNAMED_SEGMENT, _last(key), self.repair)

    def _set_aside(self) -> Iterator[Finding]:
        prefix = self.subjects.layout.set_aside()
        names = {key.removeprefix(prefix).split("/")[1] for key in self.store.keys(prefix)}
        return (Finding(Problem.SET_ASIDE, one) for one in sorted(names))


async def inspect(
    store: ObjectStore,
    opened: Callable[[Gallery], Awaitable[StoredSubjects]],
    run: Run,
    gallery: Gallery,
    hold: Hold,
    *,
    repair: bool,
) -> AsyncGenerator[Inspected, None]:
    """Inspect a gallery, opened where that is possible; else name what keeps it from being opened."""
    try:
        subjects = await opened(gallery)
    except UnreadableObject:
        findings = tuple(await run(Mending(store, gallery, repair).obstacles))
        unreadable = not (findings and all(one.repaired for one in findings))
        yield Inspected(index_rows([], gallery.dimension), findings=findings, unreadable=unreadable)
        if unreadable:
            return
        subjects = await opened(gallery)
    async with subjects.compacting:
        async for part in _Inspection(store, subjects, run, hold, repair).parts():
            yield part


def _is_old(claim: Form) -> bool:
    return datetime.now(UTC) - datetime.fromisoformat(claim["time"]) > _UNDER_WAY


def _take(found: Iterator[T]) -> list[T]:
    return list(islice(found, _BATCH))


def _last(key: str) -> str:
    return key.rpartition("/")[2]
