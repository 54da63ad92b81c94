"""A caller's deadline: what waits for a store or an index answers before it."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from facegrid.domain.errors import StoreUnavailable

STORE_LATE = "the object store did not answer in time; retry later"
_ANSWER_MARGIN = 0.9
_LONGEST_WAIT_S = 10.0


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


def patience(deadline: float | None) -> float:
    """Return the seconds to wait for an index: ten, or so few that the answer at their end is ours."""
    left = math.inf if deadline is None else max(0.0, deadline - time.monotonic())
    return min(left * _ANSWER_MARGIN, _LONGEST_WAIT_S)
