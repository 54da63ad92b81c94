"""Threads that wait for an object store, and what its failures mean."""

import asyncio
import errno
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import ParamSpec, TypeVar

from facegrid.domain.errors import StorageFull, StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")
_FULL = {errno.ENOSPC, errno.EDQUOT}


class StoreThreads:
    """A number of threads for calls that block. Each method raises StoreUnavailable and StorageFull."""

    def __init__(self, workers: int) -> None:
        """Take the number of threads that may wait."""
        self._pool = ThreadPoolExecutor(workers, "records")

    def close(self) -> None:
        """Wait for what is under way and end the threads."""
        self._pool.shutdown()

    async def take(self, found: Iterator[T], count: int) -> list[T]:
        """Return the next few of what a lazy listing yields."""
        return await self.run(lambda: list(islice(found, count)))

    async def all(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """Run calls at once; wait for each of them, so that none goes on after an error is raised."""
        results = await asyncio.gather(*(self.run(call) for call in calls), return_exceptions=True)
        return [_value(result) for result in results]

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call."""
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, partial(call, *args, **kwargs)
            )
        except OSError as error:
            if error.errno in _FULL:
                raise StorageFull("the object store is full; its operator must make room") from error
            raise StoreUnavailable("the object store does not answer; retry later") from error


def _value(result: T | BaseException) -> T:
    if isinstance(result, BaseException):
        raise result
    return result
