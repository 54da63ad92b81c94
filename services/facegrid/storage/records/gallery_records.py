"""The galleries of record: their port's face of an object store, which blocks, in threads."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from facegrid.domain.calls import Call
from facegrid.domain.errors import StorageFull
from facegrid.domain.galleries import (
    Gallery,
    Watermark,
)
from facegrid.storage.objects.store import ObjectStore
from facegrid.storage.records.galleries import StoredGalleries
from facegrid.storage.records.layout import NAMES
from facegrid.storage.records.reserve import Reserve
from facegrid.storage.records.threads import StoreThreads

P = ParamSpec("P")
T = TypeVar("T")


class StoredGalleryRecords:
    """GalleryRecords on an object store, save what also concerns the subjects."""

    def __init__(self, store: ObjectStore, workers: int) -> None:
        """Take the store and the number of threads that may wait for it."""
        self._store, self._galleries, self._reserve = store, StoredGalleries(store), Reserve(store)
        self._threads = StoreThreads(workers)
        self._run, self._all, self._take = self._threads.run, self._threads.all, self._threads.take

    def close(self) -> None:
        """Wait for what is under way and end the threads."""
        self._threads.close()

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

    async def galleries(self, after: str, limit: int, sees: Callable[[str], bool]) -> list[Gallery]:
        """Return a page of galleries in the order of their names."""
        return await self._run(self._galleries.page, after, limit, sees)

    async def unname_gallery(self, name: str, call: Call) -> str:
        """Take a gallery's name away and return its id. Raises GalleryNotFound and RequestIdReused."""
        return await self._in_any_room(self._galleries.unname, name, call)

    async def deleted_galleries(self) -> list[str]:
        """Return the ids of the galleries that were deleted."""
        return await self._run(self._galleries.deleted)

    async def nameless_galleries(self) -> list[str]:
        """Return the ids that no name leads to. Nothing may make a gallery meanwhile."""
        return await self._run(self._galleries.nameless)

    async def watermark(self, gallery_id: str) -> Watermark | None:
        """Return how far a gallery's index had come."""
        return await self._run(self._galleries.watermark, gallery_id)

    async def set_watermark(self, gallery_id: str, watermark: Watermark) -> None:
        """Write down how far a gallery's index has come."""
        await self._run(self._galleries.set_watermark, gallery_id, watermark)

    async def _in_any_room(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Delete, in the room that is kept for it where the store has no other."""
        try:
            return await self._run(call, *args, **kwargs)
        except StorageFull:
            await self._run(self._reserve.spend)
            return await self._run(call, *args, **kwargs)

    async def with_galleries(self, work: Callable[[StoredGalleries], T]) -> T:
        """Do what blocks with the stored galleries, in one of the threads."""
        return await self._run(work, self._galleries)
