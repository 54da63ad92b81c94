"""The encounters of a gallery that are objects, read at a start."""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import TypeVar

from facegrid.domain.galleries import Encounter
from facegrid.storage.records.subjects import StoredSubjects
from facegrid.storage.records.threads import StoreThreads

T = TypeVar("T")
BATCH, _SUBJECTS_A_CALL = 500, 25


async def read_objects(subjects: StoredSubjects, threads: StoreThreads) -> AsyncIterator[list[Encounter]]:
    """Yield the encounters that are objects; none is due for compaction until all has been read."""
    subjects.loaded = False
    async with subjects.compacting:
        pass
    subjects.loose = await threads.run(subjects.tombstones.count) + subjects.amendments.count
    compacted = bool(subjects.segments.view.segments)
    ids = await threads.run(subjects.claims.stored) if compacted else []
    reads = [partial(subjects.claims.forms, part) for part in _slices(ids, BATCH)]
    claims = {one: form for read in await threads.all(reads) for one, form in read.items()}
    folders = await threads.run(subjects.touched, claims)
    batch: list[Encounter] = []
    while chunk := await threads.take(folders, BATCH):
        parts = [partial(subjects.load, part) for part in _slices(chunk, _SUBJECTS_A_CALL)]
        for loaded in await threads.all(parts):
            batch += loaded
        while len(batch) >= BATCH:
            yield batch[:BATCH]
            del batch[:BATCH]
    if batch:
        yield batch
    await threads.run(subjects.settle, claims)


def _slices(found: Sequence[T], length: int) -> list[Sequence[T]]:
    return [found[start : start + length] for start in range(0, len(found), length)]
