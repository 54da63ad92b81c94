"""Rows of durable encounters, shown while deletions go on."""

from collections.abc import AsyncGenerator, AsyncIterator

from facegrid.domain.galleries import IndexRows
from facegrid.identity.index_state import IndexState

_ROWS_A_STEP = 4096


async def stream_rows(state: IndexState, batches: AsyncIterator[IndexRows]) -> AsyncGenerator[int, None]:
    """Show rows; yields the number of rows after each step. What is removed meanwhile stays removed."""
    gone = set[str]()
    state.leaving.append(gone)
    try:
        async for batch in batches:
            for start in range(0, len(batch), _ROWS_A_STEP):
                part = batch.part(slice(start, start + _ROWS_A_STEP))
                await _show(state, part, gone)
                yield len(part)
    finally:
        state.leaving.remove(gone)


async def _show(state: IndexState, rows: IndexRows, gone: set[str]) -> None:
    ids = rows.encounter_ids
    fresh = [row for row, one in enumerate(ids) if one not in state.shown and one not in gone]
    await state.writer.write(rows if len(fresh) == len(ids) else rows.take(fresh))
    if late := gone.intersection(ids):
        await state.writer.write(gone=sorted(late))
    pairs = zip(ids, rows.subject_ids, strict=True)
    state.note({one: subject for one, subject in pairs if one not in gone})
