"""A caller's deadline: what waits for a store or an index answers before it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from facegrid.domain.errors import StoreUnavailable

_ANSWER_MARGIN = 0.9


@asynccontextmanager
async def before(deadline: float | None, message: str) -> AsyncIterator[None]:
    """Give up shortly before a deadline on the monotonic clock, so that the answer at its end is ours.

    Raises StoreUnavailable with the message.
    """
    patience = None if deadline is None else (deadline - time.monotonic()) * _ANSWER_MARGIN
    try:
        async with asyncio.timeout(patience):
            yield
    except TimeoutError:
        raise StoreUnavailable(message) from None
