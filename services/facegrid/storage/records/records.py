"""The records of galleries and subjects: the ports' face of an object store, which blocks, in threads."""

import asyncio
import errno
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from facegrid.domain.calls import Call
from facegrid.domain.errors import StorageFull, StoreUnavailable
from facegrid.domain.galleries import Encounter, Gallery, IndexRows, Subject, Tombstone, index_rows
from facegrid.domain.inspection import Inspected
from facegrid.identity.ports import Claim, Hold
from facegrid.storage.objects.store import ObjectStore
from facegrid.storage.records.folders import SubjectFolder
from facegrid.storage.records.galleries import StoredGalleries
from facegrid.storage.records.layout import NAMES
from facegrid.storage.records.reading import live_rows
from facegrid.storage.records.reserve import Reserve
from facegrid.storage.records.subjects import StoredSubjects

if TYPE_CHECKING:
    from facegrid.storage.records.bulk import Columns

P = ParamSpec("P")
T = TypeVar("T")
_FULL = {errno.ENOSPC, errno.EDQUOT}
_BATCH, _SUBJECTS_A_CALL = 500, 25


class StoredRecords:
    """GalleryRecords and Records on an object store that no other process writes to.

    Where an object is damaged its methods raise UnreadableObject, which is for operators.
    """

    def __init__(self, store: ObjectStore, workers: int) -> None:
        """Take the store and the number of threads that may wait for it."""
        self._store, self._galleries, self._reserve = store, StoredGalleries(store), Reserve(store)
        self._pool = ThreadPoolExecutor(workers, "records")
        self._opening = threading.Lock()
        self._subjects: dict[str, StoredSubjects] = {}

    def close(self) -> None:
        """Wait for what is under way and end the threads."""
        self._pool.shutdown()

    async def check(self) -> None:
        """Ask the store for a key. Raises StoreUnavailable where it does not answer."""
        await self._run(lambda: next(self._store.keys(NAMES), ""))

    async def create_gallery(self, gallery: Gallery, call: Call) -> Gallery:
        """Store a gallery. Raises GalleryExists and RequestIdReused."""
        return await self._run(self._galleries.create, gallery, call)

    async def gallery(self, name: str) -> Gallery:
        """Return a gallery by name. Raises GalleryNotFound."""
        if known := self._galleries.known(name):
            return known
        return await self._run(self._galleries.get, name)

    async def update_gallery(self, name: str, change: Callable[[Gallery], Gallery]) -> Gallery:
        """Store a gallery's settings as `change` returns them. Raises GalleryNotFound."""
        return await self._run(self._galleries.update, name, change)

    async def galleries(self, after: str, limit: int) -> list[Gallery]:
        """Return a page of galleries in the order of their names."""
        return await self._run(self._galleries.page, after, limit)

    async def unname_gallery(self, name: str, call: Call) -> str:
        """Take a gallery's name away and return its id. Raises GalleryNotFound and RequestIdReused."""
        return await self._in_any_room(self._galleries.unname, name, call)

    async def deleted_galleries(self) -> list[str]:
        """Return the ids of the galleries that were deleted."""
        return await self._run(self._galleries.deleted)

    async def nameless_galleries(self) -> list[str]:
        """Return the ids that no name leads to. Nothing may make a gallery meanwhile."""
        return await self._run(self._galleries.nameless)

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
            await self._all(subjects.sample_writes(encounter, photographs))
            await self._run(subjects.mark, encounter)
        except (StoreUnavailable, StorageFull):
            prefix = subjects.layout.subject(encounter.subject_id)
            await self._run(subjects.discard, prefix, encounter.encounter_id)
            raise

    async def subject(self, gallery: Gallery, subject_id: str) -> Subject | None:
        """Return a subject with its active encounters; None where there is none."""
        subjects = await self._of(gallery)
        return await self._run(lambda: subjects.describe(subjects.folder(subject_id), with_encounters=True))

    async def subjects(self, gallery: Gallery, after: str, limit: int) -> tuple[list[Subject], str]:
        """Return a page of subjects in the order of the hashes of their ids; the cursor is such a hash."""
        subjects = await self._of(gallery)
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
        return await self._run((await self._of(gallery)).tombstone, call)

    async def bury(self, gallery: Gallery, tombstone: Tombstone, call: Call) -> None:
        """Write a tombstone: from here on its encounters are gone."""
        subjects = await self._of(gallery)
        await self._in_any_room(subjects.bury, tombstone, call)

    async def erase(self, gallery: Gallery, subject_id: str, encounter_ids: Sequence[str]) -> None:
        """Remove encounters and, with the last one, their subject; mark their request ids as deleted."""
        if encounter_ids:
            subjects = await self._of(gallery)
            await self._in_any_room(lambda: subjects.tidy(subjects.folder(subject_id), encounter_ids))

    async def encounters(self, gallery: Gallery) -> AsyncIterator[list[Encounter]]:
        """Yield all active encounters in batches of some 500, each subject tidied before it is read.

        Nothing may write to the gallery until the last batch.
        """
        subjects = await self._of(gallery)
        async for loaded in self._loose(subjects):
            yield loaded
        for segment in subjects.segments.view.segments:
            found = await self._run(subjects.segments.encounters, segment)
            while batch := await self._take(found, _BATCH):
                yield batch
        subjects.loaded = True

    async def rows(self, gallery: Gallery) -> AsyncIterator[tuple[IndexRows, int]]:
        """Yield the index rows of all active encounters, as `encounters` does, each with a revision.

        It is the latest that first shows one of them.
        """
        subjects = await self._of(gallery)
        async for loaded in self._loose(subjects):
            yield index_rows(loaded, gallery.dimension), max(encounter.revision for encounter in loaded)
        for segment in subjects.segments.view.segments:
            yield await self._run(segment.index_rows, gallery.dimension)
        subjects.loaded = True

    def live_rows(self, gallery: Gallery) -> AsyncGenerator[IndexRows, None]:
        """Yield the index rows of all active encounters beside other calls; compaction waits for the last."""
        return live_rows(self._of, gallery, self._take)

    async def _loose(self, subjects: StoredSubjects) -> AsyncIterator[list[Encounter]]:
        """Yield the encounters that are objects; none is due for compaction until all has been read."""
        subjects.loaded = False
        async with subjects.compacting:
            pass
        subjects.loose = await self._run(subjects.tombstones.count)
        compacted = bool(subjects.segments.view.manifest.number)
        ids = await self._run(subjects.claims.stored) if compacted else []
        reads = [partial(subjects.claims.forms, part) for part in _slices(ids, _BATCH)]
        claims = {one: form for read in await self._all(reads) for one, form in read.items()}
        folders = await self._run(subjects.touched, claims)
        batch: list[Encounter] = []
        while chunk := await self._take(folders, _BATCH):
            parts = [partial(subjects.load, part) for part in _slices(chunk, _SUBJECTS_A_CALL)]
            for loaded in await self._all(parts):
                batch += loaded
            while len(batch) >= _BATCH:
                yield batch[:_BATCH]
                del batch[:_BATCH]
        if batch:
            yield batch
        await self._run(subjects.settle, claims)

    async def last_revision(self, gallery: Gallery) -> int:
        """Return the highest revision of a tombstone; 0 where there is none."""
        return (await self._of(gallery)).last_revision

    async def import_templates(
        self, gallery: Gallery, call: Call, revision: int, batches: "Iterable[Columns]"
    ) -> None:
        """Add an encounter of one sample for each template, all of them at once; no index learns of them."""
        from facegrid.storage.records.bulk import write_columns  # noqa: PLC0415  # pyarrow takes long to import

        await self._run(write_columns, await self._of(gallery), call, revision, batches)

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

    async def _of(self, gallery: Gallery) -> StoredSubjects:
        if opened := self._subjects.get(gallery.gallery_id):
            return opened
        return await self._run(self._open, gallery)

    def _open(self, gallery: Gallery) -> StoredSubjects:
        with self._opening:
            if gallery.gallery_id not in self._subjects:
                self._subjects[gallery.gallery_id] = StoredSubjects(self._store, gallery)
            return self._subjects[gallery.gallery_id]

    async def _take(self, found: Iterator[T], count: int) -> list[T]:
        return await self._run(lambda: list(islice(found, count)))

    async def _all(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """Run calls at once; wait for each of them, so that none goes on after an error is raised."""
        results = await asyncio.gather(*(self._run(call) for call in calls), return_exceptions=True)
        return [_value(result) for result in results]

    async def _in_any_room(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Delete, in the room that is kept for it where the store has no other."""
        try:
            return await self._run(call, *args, **kwargs)
        except StorageFull:
            await self._run(self._reserve.spend)
            return await self._run(call, *args, **kwargs)

    async def _run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, partial(call, *args, **kwargs)
            )
        except OSError as error:
            if error.errno in _FULL:
                raise StorageFull("the object store is full; its operator must make room") from error
            raise StoreUnavailable("the object store does not answer; retry later") from error


def _hides(subjects: StoredSubjects, before: datetime) -> bool:
    """Say whether a row has been hidden since before some time."""
    since = subjects.hidden_since
    return since is not None and since < before and subjects.segments.hides()


def _slices(found: Sequence[T], length: int) -> list[Sequence[T]]:
    return [found[start : start + length] for start in range(0, len(found), length)]


def _value(result: T | BaseException) -> T:
    if isinstance(result, BaseException):
        raise result
    return result
