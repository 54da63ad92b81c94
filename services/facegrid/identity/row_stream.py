"""Rows of durable encounters, shown while deletions go on."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

from facegrid.domain.galleries import IndexRows
from facegrid.identity.index_state import IndexState

_ROWS_A_STEP, _STEPS_AT_ONCE = 4096, 2


async def stream_rows(state: IndexState, batches: AsyncIterator[IndexRows]) -> AsyncGenerator[int, None]:
    """Show rows; yields the number of rows after each step. What is removed meanwhile stays removed.

    Rows are read while those before them are shown, some steps at a time.
    """
    gone = set[str]()
    state.leaving.append(gone)
    under_way = deque[asyncio.Task[int]]()
    try:
        async for batch in batches:
            for step in _steps(batch):
                if len(under_way) == _STEPS_AT_ONCE:
                    yield await under_way.popleft()
                under_way.append(asyncio.create_task(_show(state, step, gone)))
        while under_way:
            yield await under_way.popleft()
    finally:
        await asyncio.gather(*under_way, return_exceptions=True)
        state.leaving.remove(gone)


def _steps(rows: IndexRows) -> Iterator[IndexRows]:
    """Cut rows between two encounters: the samples of one, which stand together, are shown in one step."""
    ids, start = rows.encounter_ids, 0
    while start < len(ids):
        end = start + _ROWS_A_STEP
        while end < len(ids) and ids[end] == ids[end - 1]:
            end += 1
        yield rows.part(slice(start, end))
        start = end


async def _show(state: IndexState, rows: IndexRows, gone: set[str]) -> int:
    ids = rows.encounter_ids
    fresh = [row for row, one in enumerate(ids) if one not in state.shown and one not in gone]
    await state.writer.write(rows if len(fresh) == len(ids) else rows.take(fresh))
    if late := gone.intersection(ids):
        await state.writer.write(gone=sorted(late))
    pairs = zip(ids, rows.subject_ids, strict=True)
    state.note({one: subject for one, subject in pairs if one not in gone})
    return len(rows)
