"""An inspection of all records of a gallery, beside the calls that write to them."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, Protocol, TypeVar

from facegrid.domain.fingerprints import Fingerprints
from facegrid.domain.galleries import Encounter, Gallery, index_rows
from facegrid.domain.inspection import Finding, Inspected, Problem
from facegrid.identity.ports import Hold
from facegrid.storage.objects.forms import Form, read
from facegrid.storage.objects.store import ObjectMissing, ObjectStore, UnreadableObject
from facegrid.storage.records.layout import GalleryLayout
from facegrid.storage.records.manifests import Manifests
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
        yield self._part([], await self.run(lambda: list(self._set_aside())))
        loose, photographs = set[str](), Fingerprints()
        folders = SubjectInspection(self.store, self.subjects)
        reports = folders.reports()
        while chunk := await self.run(_take, reports):
            closer = [await self._closely(folders, one) if one.findings else one for one in chunk]
            for report in closer:
                loose |= report.folder.committed | report.folder.unfinished
                for name in report.photographs:
                    photographs.add(name)
            findings = [finding for report in closer for finding in report.findings]
            yield self._part([one for report in closer for one in report.encounters], findings)
        kept = photographs.comparison()
        for segment in self.subjects.segments.view.segments:
            try:
                await self.run(segment.table)  # with the columns that no encounter is made of
                found = await self.run(self.subjects.segments.encounters, segment)
                while encounters := await self.run(_take, found):
                    bare = [one for one in encounters if not all(map(kept.meet, kept_photographs(one)))]
                    missing = [Finding(Problem.PHOTOGRAPH_MISSING, one.encounter_id) for one in bare]
                    yield self._part(encounters, missing, compacted=True)
            except (UnreadableObject, ObjectMissing):
                yield self._part([], [Finding(Problem.DAMAGED, _last(segment.file.key))])
        yield self._part([], await self.run(self._others, loose))

    async def _closely(self, folders: SubjectInspection, first: SubjectReport) -> SubjectReport:
        """Look again, and repair."""
        prefix = first.folder.prefix
        if not first.subject_id:
            report = await self.run(folders.report, prefix)
            report.findings = await self.run(lambda: list(filter(self._is_settled, report.findings)))
            return await self._repaired(folders, report, alone=False)
        async with self.hold(self.subjects.gallery, first.subject_id):
            report = await self.run(folders.report, prefix)
            return await self._repaired(folders, report, alone=True)

    async def _repaired(
        self, folders: SubjectInspection, report: SubjectReport, *, alone: bool
    ) -> SubjectReport:
        if self.repair and report.findings:
            report.findings = await self.run(lambda: folders.repair(report, alone=alone))
        return report

    def _is_settled(self, finding: Finding) -> bool:
        """Say whether no enrolment can be under way that looks like this."""
        claim = self.subjects.claims.forms([finding.name]) if finding.problem is Problem.UNFINISHED else {}
        return all(map(_is_old, claim.values()))

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

    def _others(self, loose: set[str]) -> list[Finding]:
        """Look at what belongs to no subject's folder."""
        return [*self._claims(loose), *self._segment_files()]

    def _claims(self, loose: set[str]) -> Iterator[Finding]:
        claims, segments = self.subjects.claims, self.subjects.segments
        for one in claims.stored():
            try:
                form = claims.forms([one]).get(one)
                if (
                    form
                    and one not in loose
                    and one not in segments
                    and form["state"] == "active"
                    and _is_old(form)
                ):
                    yield Finding(Problem.UNUSED_CLAIM, one)
            except UnreadableObject:
                yield Finding(Problem.DAMAGED, f"{one}.json")

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
        yield await run(_unreadable, store, gallery)
        return
    async with subjects.compacting:
        async for part in _Inspection(store, subjects, run, hold, repair).parts():
            yield part


def _unreadable(store: ObjectStore, gallery: Gallery) -> Inspected:
    """Name what keeps a gallery from being opened."""
    from facegrid.storage.records.segment import Segment  # noqa: PLC0415  # pyarrow takes long to import

    layout, damaged = GalleryLayout(gallery), list[str]()
    damaged += [
        key for key in store.keys(layout.tombstones) if not _is_readable(partial(read, store, key, dict))
    ]
    try:
        files = Manifests(store, layout.segments).newest().files
        damaged += [file.key for file in files if not _is_readable(partial(Segment, store, file))]
    except UnreadableObject:
        damaged += list(store.keys(f"{layout.segments}manifests/"))[-1:]
    findings = tuple(Finding(Problem.DAMAGED, _last(key)) for key in damaged)
    return Inspected(index_rows([], gallery.dimension), findings=findings, unreadable=True)


def _is_readable(reading: Callable[[], object]) -> bool:
    try:
        reading()
    except (UnreadableObject, ObjectMissing):
        return False
    return True


def _is_old(claim: Form) -> bool:
    return datetime.now(UTC) - datetime.fromisoformat(claim["time"]) > _UNDER_WAY


def _take(found: Iterator[T]) -> list[T]:
    return list(islice(found, _BATCH))


def _last(key: str) -> str:
    return key.rpartition("/")[2]
