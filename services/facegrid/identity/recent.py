"""Values of a source that may be slow: read again when they are wanted and older than a moment."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from facegrid.domain.errors import FacegridError, StoreUnavailable

T = TypeVar("T")
_AGE_S = 0.3
_PATIENCE_S = 0.25  # so slow a source is not waited for where an older value is known


@dataclass(frozen=True, slots=True)
class _Known(Generic[T]):
    value: T
    began: float


@dataclass(frozen=True, slots=True)
class _Reading(Generic[T]):
    task: asyncio.Task[T]
    began: float


class Recent(Generic[T]):
    """A value for each key, no older than 0.3 s where the source answers, and the last known where not."""

    def __init__(self, read: Callable[[str], Awaitable[T]]) -> None:
        """Take what reads a value; it raises StoreUnavailable where the source does not answer."""
        self._read = read
        self._known: dict[str, _Known[T]] = {}
        self._readings: dict[str, _Reading[T]] = {}

    async def get(self, key: str) -> T:
        """Return the value of a key. Raises what reading does, unless a value is known for an outage."""
        known, now = self._known.get(key), time.monotonic()
        if known and now - known.began < _AGE_S:
            return known.value
        reading = self._readings.get(key) or self._begin(key, now)
        if known:
            await asyncio.wait([reading.task], timeout=max(0.0, reading.began + _PATIENCE_S - now))
            if not reading.task.done():
                return known.value
        return await asyncio.shield(reading.task)

    def _begin(self, key: str, now: float) -> _Reading[T]:
        def end(task: asyncio.Task[T]) -> None:
            self._readings.pop(key)
            _ = task.cancelled() or task.exception()  # nobody may wait for it any more

        reading = self._readings[key] = _Reading(asyncio.create_task(self._read_again(key, now)), now)
        reading.task.add_done_callback(end)
        return reading

    async def _read_again(self, key: str, now: float) -> T:
        try:
            value = await self._read(key)
        except StoreUnavailable:
            if known := self._known.get(key):
                return known.value
            raise
        except FacegridError:
            self._known.pop(key, None)
            raise
        self._known[key] = _Known(value, now)
        return value
