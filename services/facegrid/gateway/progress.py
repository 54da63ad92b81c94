"""Long jobs as streams: how far they are, now and then, and at last what came of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from facegrid.identity.progress import Progress, Report

T = TypeVar("T")
_INTERVAL_S = 0.2


async def with_progress(job: Callable[[Report], Awaitable[T]]) -> AsyncIterator[Progress | T]:
    """Yield the latest progress five times a second and the result last; whoever stops calls the job off."""
    latest: list[Progress] = []

    def report(progress: Progress) -> None:
        latest[:] = [progress]

    task = asyncio.ensure_future(job(report))
    try:
        while not (await asyncio.wait([task], timeout=_INTERVAL_S))[0]:
            for progress in latest:
                yield progress
        yield task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])
