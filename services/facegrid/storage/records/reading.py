"""The records of a gallery as they stand, read beside those who write."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

from facegrid.domain.galleries import Encounter, Gallery, IndexRows, index_rows
from facegrid.storage.records.subjects import StoredSubjects

_BATCH = 500


async def live_rows(
    opened: Callable[[Gallery], Awaitable[StoredSubjects]],
    gallery: Gallery,
    take: Callable[[Iterator[IndexRows], int], Awaitable[list[IndexRows]]],
) -> AsyncGenerator[IndexRows, None]:
    """Yield the index rows of all active encounters, taken in a thread; nothing is changed."""
    subjects = await opened(gallery)
    async with subjects.compacting:
        found = _rows(subjects)
        while rows := await take(found, 1):
            yield rows[0]


def _rows(subjects: StoredSubjects) -> Iterator[IndexRows]:
    """Yield the index rows of all active encounters; nothing is changed, and nothing may compact meanwhile.

    What changes before the last batch may be seen or not.
    """
    batch: list[Encounter] = []
    for loose in _loose(subjects):
        batch += loose
        if len(batch) >= _BATCH:
            yield index_rows(batch, subjects.gallery.dimension)
            batch = []
    yield index_rows(batch, subjects.gallery.dimension)
    for segment in subjects.segments.view.segments:
        yield subjects.index_rows(segment)[0]


def _loose(subjects: StoredSubjects) -> Iterator[list[Encounter]]:
    """Yield the encounters of subjects that are objects and no rows."""
    compacted = bool(subjects.segments.view.manifest.number)
    claims = subjects.claims.forms(subjects.claims.stored()) if compacted else {}
    for folder in subjects.touched(claims):
        if found := subjects.describe(folder, with_encounters=True):
            yield [one for one in found.encounters if one.encounter_id not in subjects.segments]
