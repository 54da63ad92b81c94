"""The records of galleries and subjects: the ports' face of an object store, which blocks, in threads."""

import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import ParamSpec, TypeVar

from facegrid.domain.calls import Call
from facegrid.domain.errors import StorageFull, StoreUnavailable
from facegrid.domain.galleries import (
    Amendment,
    Encounter,
    Gallery,
    IndexRows,
    Subject,
    Tombstone,
    index_rows,
)
from facegrid.domain.inspection import Inspected
from facegrid.identity.ports import Claim, Hold, TemplateImport
from facegrid.storage.objects.store import ObjectStore
from facegrid.storage.records.export import export_page, read_photograph
from facegrid.storage.records.folders import SubjectFolder
from facegrid.storage.records.gallery_records import StoredGalleryRecords
from facegrid.storage.records.layout import GalleryLayout
from facegrid.storage.records.loading import BATCH, read_objects
from facegrid.storage.records.reading import live_rows
from facegrid.storage.records.subjects import StoredSubjects

P = ParamSpec("P")
T = TypeVar("T")


class StoredRecords(StoredGalleryRecords):
    """GalleryRecords and Records on an object store that no other process writes to.

    Where an object is damaged its methods raise UnreadableObject, which is for operators.
    """

    def __init__(self, store: ObjectStore, workers: int) -> None:
        """Take the store and the number of threads that may wait for it."""
        super().__init__(store, workers)
        self._opening = threading.Lock()
        self._subjects: dict[str, StoredSubjects] = {}

    async def erase_gallery(self, gallery_id: str) -> None:
        """Remove every object of a gallery without a name."""
        self._subjects.pop(gallery_id, None)
        await self._run(self._galleries.erase, gallery_id)

    async def find_claim(self, gallery: Gallery, encounter_id: str, call: Call) -> Claim:
        """Say what an earlier call with this request id left. Raises RequestIdReused."""
        subjects = await self._of(gallery)
        return await self._run(subjects.claims.find, encounter_id, call)

    async def claim(self, gallery: Gallery, subject_id: str, encounter_id: str, call: Call) -> Claim:
        """Bind a request id to its payload and encounter. Raises RequestIdReused."""
        subjects = await self._of(gallery)
        await self._run(self._reserve.keep)
        return await self._run(subjects.claims.make, subject_id, encounter_id, call)

    async def commit(
        self, gallery: Gallery, encounter: Encounter, photographs: Sequence[bytes | None]
    ) -> None:
        """Write an encounter's objects at once and, when they are durable, its mark.

        Where that fails, the encounter is not seen, though the store may yet do what it was asked.
        """
        subjects = await self._of(gallery)
        try:
            await self._all(subjects.samples.writes(encounter, photographs))
            await self._run(subjects.mark, encounter)
        except (StoreUnavailable, StorageFull):
            prefix = subjects.layout.subject(encounter.subject_id)
            await self._run(subjects.discard, prefix, encounter.encounter_id)
            raise
        finally:
            subjects.claims.end(encounter.encounter_id)

    async def subject(self, gallery: Gallery, subject_id: str) -> Subject | None:
        """Return a subject with its active encounters; None where there is none."""
        subjects = await self._of(gallery)
        return await self._run(lambda: subjects.describe(subjects.folder(subject_id), with_encounters=True))

    async def subjects(self, gallery: Gallery, after: str, limit: int) -> tuple[list[Subject], str]:
        """Return a page of subjects in the order of the hashes of their ids; the cursor is such a hash."""
        subjects = await self._of(gallery)
        view = None
        while view is not (view := await self._run(subjects.refresh)):  # again where rows went by meanwhile
            page = await self._page(subjects, after, limit)
        return page

    async def _page(self, subjects: StoredSubjects, after: str, limit: int) -> tuple[list[Subject], str]:
        folders = subjects.folders(after)
        found: list[tuple[Subject, SubjectFolder]] = []
        while len(found) <= limit and (chunk := await self._take(folders, limit + 1 - len(found))):
            described = await self._all(
                [partial(subjects.describe, folder, with_encounters=False) for folder in chunk]
            )
            found += [(one, folder) for one, folder in zip(described, chunk, strict=True) if one]
        cursor = found[limit - 1][1].sid if len(found) > limit else ""
        return [one for one, _ in found[:limit]], cursor

    async def tombstone(self, gallery: Gallery, call: Call) -> Tombstone | None:
        """Return the tombstone that an earlier try of this call wrote. Raises RequestIdReused."""
        subjects = await self._of(gallery)
        return await self._run(subjects.tombstones.find, call)

    async def bury(self, gallery: Gallery, tombstone: Tombstone, call: Call) -> None:
        """Write a tombstone: from here on its encounters are gone."""
        subjects = await self._of(gallery)
        await self._in_any_room(subjects.bury, tombstone, call)

    async def erase(self, gallery: Gallery, subject_id: str, encounter_ids: Sequence[str]) -> None:
        """Remove encounters and, with the last one, their subject; mark their request ids as deleted."""
        if encounter_ids:
            subjects = await self._of(gallery)
            await self._in_any_room(lambda: subjects.tidy(subjects.folder(subject_id), encounter_ids))

    async def amendment(self, gallery: Gallery, call: Call) -> Amendment | None:
        """Return what an earlier try of this call changed. Raises RequestIdReused."""
        subjects = await self._of(gallery)
        return await self._run(subjects.amendments.find, call)

    async def amend(self, gallery: Gallery, subject_id: str, amendment: Amendment, call: Call) -> None:
        """Write an amendment: from here on it counts."""
        subjects = await self._of(gallery)
        await self._run(subjects.amend, subjects.layout.sid(subject_id), amendment, call)

    async def settle(self, gallery: Gallery, call: Call) -> None:
        """Let compaction have what a call changed."""
        (await self._of(gallery)).amendments.settle(call)

    async def amended(self, gallery: Gallery) -> set[str]:
        """Return the encounters whose labels an index that holds their rows may not know."""
        return set((await self._of(gallery)).amendments.targets[0])

    async def encounters(self, gallery: Gallery) -> AsyncIterator[list[Encounter]]:
        """Yield all active encounters in batches of some 500, each subject tidied before it is read.

        Nothing may write to the gallery until the last batch.
        """
        subjects = await self._of(gallery)
        async for loaded in read_objects(subjects, self._threads):
            yield loaded
        for segment in subjects.segments.view.segments:
            found = await self._run(subjects.segments.encounters, segment)
            while batch := await self._take(found, BATCH):
                yield batch
        subjects.loaded = True

    async def rows(self, gallery: Gallery) -> AsyncIterator[tuple[IndexRows, int]]:
        """Yield the index rows of all active encounters, as `encounters` does, each with a revision.

        It is the latest that first shows one of them.
        """
        subjects = await self._of(gallery)
        async for loaded in read_objects(subjects, self._threads):
            yield index_rows(loaded, gallery.dimension), max(encounter.revision for encounter in loaded)
        for segment in subjects.segments.view.segments:
            yield await self._run(subjects.index_rows, segment)
        subjects.loaded = True

    def live_rows(self, gallery: Gallery) -> AsyncGenerator[IndexRows, None]:
        """Yield the index rows of all active encounters beside other calls; compaction waits for the last."""
        return live_rows(self._of, gallery, self._take)

    async def replaced(self, gallery: Gallery) -> list[str]:
        """Return the encounters that tombstones and loaded objects took away, as far as not compacted."""
        subjects = await self._of(gallery)
        return sorted(subjects.segments.erased | subjects.replaced)

    async def last_revision(self, gallery: Gallery) -> int:
        """Return the highest revision of a tombstone; 0 where there is none."""
        return (await self._of(gallery)).last_revision

    async def begin_import(self, gallery: Gallery, call: Call, revision: int) -> TemplateImport:
        """Begin to write encounters that come column by column; a revision first shows them."""
        return await self._run(self._begin_import, await self._of(gallery), call, revision)

    def _begin_import(self, subjects: StoredSubjects, call: Call, revision: int) -> TemplateImport:
        from facegrid.storage.records.bulk import SegmentImport  # noqa: PLC0415  # pyarrow takes long to import

        return SegmentImport(self._store, subjects, call, revision, self._run)

    async def export_page(self, gallery: Gallery, after: str, rows: int) -> tuple[list[Encounter], str]:
        """Return encounters in the order of their subjects' hashes; the cursor is such a hash."""
        return await self._run(export_page, await self._of(gallery), after, rows)

    async def photograph(self, gallery: Gallery, encounter: Encounter, sample: int) -> bytes | None:
        """Return the photograph of a sample; None where it is not kept, or was removed."""
        return await self._run(read_photograph, self._store, GalleryLayout(gallery), encounter, sample)

    def inspect(self, gallery: Gallery, hold: Hold, *, repair: bool) -> AsyncGenerator[Inspected, None]:
        """Yield what is sound in the records and what is wrong; `hold` keeps writers away from a subject."""
        from facegrid.storage.records.inspection import inspect  # noqa: PLC0415  # pyarrow takes long to import

        return inspect(self._store, self._of, self._run, gallery, hold, repair=repair)

    def due(self, loose: int, before: datetime) -> list[Gallery]:
        """Return the loaded galleries with that many changes to compact, or rows to erase since that time."""
        return [
            one.gallery
            for one in [*self._subjects.values()]
            if one.loaded and (one.loose >= loose or _hides(one, before))
        ]

    async def compact(self, gallery: Gallery, hold: Hold) -> None:
        """Make segments of small objects, and erase what is hidden in them.

        `hold` keeps other writers away from a subject for a moment; one compaction a gallery at a time.
        """
        from facegrid.storage.records.compaction import Compaction  # noqa: PLC0415  # pyarrow takes long to import

        subjects = await self._of(gallery)
        async with subjects.compacting:
            compaction = await self._run(Compaction, self._store, subjects)
            for subject_id in compaction.subject_ids:
                async with hold(gallery, subject_id):
                    await self._run(compaction.fold, subject_id)
            if await self._run(compaction.publish):
                for subject_id in compaction.subject_ids:
                    async with hold(gallery, subject_id):
                        await self._run(compaction.tidy, subject_id)
                await self._run(compaction.finish)

    async def with_subjects(self, gallery: Gallery, work: Callable[[StoredSubjects], T]) -> T:
        """Do what blocks with a gallery's stored subjects, in one of the threads."""
        return await self._run(work, await self._of(gallery))

    async def _of(self, gallery: Gallery) -> StoredSubjects:
        if opened := self._subjects.get(gallery.gallery_id):
            return opened
        return await self._in_any_room(self._open, gallery)

    def _open(self, gallery: Gallery) -> StoredSubjects:
        with self._opening:
            if gallery.gallery_id not in self._subjects:
                self._subjects[gallery.gallery_id] = self._opened(gallery)
            return self._subjects[gallery.gallery_id]

    def _opened(self, gallery: Gallery) -> StoredSubjects:
        return StoredSubjects(self._store, gallery)


def _hides(subjects: StoredSubjects, before: datetime) -> bool:
    """Say whether a row has been hidden since before some time."""
    since = subjects.hidden_since
    return since is not None and since < before and subjects.segments.hides()
