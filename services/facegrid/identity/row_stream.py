"""Rows of durable encounters, shown while these are changed and deleted."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

from facegrid.domain.galleries import IndexRows
from facegrid.identity.index_state import IndexState, Streaming

_ROWS_A_STEP, _STEPS_AT_ONCE = 4096, 2


async def stream_rows(state: IndexState, batches: AsyncIterator[IndexRows]) -> AsyncGenerator[int, None]:
    """Show rows; yields the number of rows after each step. What others write meanwhile stays as it is.

    Rows are read while those before them are shown, some steps at a time.
    """
    stream = Streaming()
    state.streams.append(stream)
    try:
        async for batch in batches:
            for step in _steps(batch):
                if len(stream.steps) == _STEPS_AT_ONCE:
                    yield await _first(stream)
                task = asyncio.create_task(_show(state, step, stream))
                stream.steps[task] = step.encounter_ids
        while stream.steps:
            yield await _first(stream)
    finally:
        await asyncio.gather(*stream.steps, return_exceptions=True)
        state.streams.remove(stream)


async def _first(stream: Streaming) -> int:
    step = next(iter(stream.steps))
    count = await step
    del stream.steps[step]
    return count


def _steps(rows: IndexRows) -> Iterator[IndexRows]:
    """Cut rows between two encounters: the samples of one, which stand together, are shown in one step."""
    ids, start = rows.encounter_ids, 0
    while start < len(ids):
        end = start + _ROWS_A_STEP
        while end < len(ids) and ids[end] == ids[end - 1]:
            end += 1
        yield rows.part(slice(start, end))
        start = end


async def _show(state: IndexState, rows: IndexRows, stream: Streaming) -> int:
    ids = rows.encounter_ids
    fresh = [row for row, one in enumerate(ids) if one not in state.shown and one not in stream.written]
    await state.writer.write(rows if len(fresh) == len(ids) else rows.take(fresh))
    state.note({ids[row]: rows.subject_ids[row] for row in fresh if ids[row] not in stream.written})
    return len(rows)
