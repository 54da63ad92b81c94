"""Mutations: those of one subject in order, and each that has begun carried through."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar
from weakref import WeakValueDictionary

from facegrid.domain.galleries import Gallery
from facegrid.identity.deadlines import before

T = TypeVar("T")


class Writes:
    """The mutations under way: one a subject, and so few that those held up by an outage fill no memory."""

    def __init__(self, most: int) -> None:
        """Take the most that may be under way, those included whose callers are gone."""
        self._room = asyncio.Semaphore(most)
        self._subjects: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, gallery: Gallery, subject_id: str) -> AsyncIterator[None]:
        """Keep other writers away from a subject."""
        lock = self._subjects.setdefault((gallery.gallery_id, subject_id), asyncio.Lock())
        async with lock:
            yield

    async def finish(self, write: Callable[[], Awaitable[T]], deadline: float | None) -> T:
        """Carry a mutation through and return its answer, or tell a caller shortly before its deadline.

        Raises StoreUnavailable where that comes first; the mutation goes on if it has begun.
        """
        async with before(deadline, "the change was not stored in time; retry with the same request id"):
            await self._room.acquire()
            task = asyncio.ensure_future(write())
            task.add_done_callback(lambda _: self._room.release())
            return await asyncio.shield(task)
