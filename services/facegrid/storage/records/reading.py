"""The records of a gallery as they stand, read beside those who write."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.galleries import Encounter, Gallery, IndexRows, index_rows
from facegrid.domain.labels import Status
from facegrid.storage.records.folders import SubjectFolder, subject_folder
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


def inactive(subjects: StoredSubjects, sids: NDArray[np.bytes_]) -> list[str]:
    """Return which of some hashes, of 16 bytes each, are those of inactive subjects."""
    folders = {folder.sid: folder for folder in _folders(subjects) if folder.committed}
    suspects = {*folders, *subjects.amendments.targets[1]}
    for segment in subjects.segments.view.segments:
        suspects |= segment.inactive(sids)
    known = sorted(suspects)
    meant = np.isin(np.array([bytes.fromhex(sid) for sid in known], "S16"), sids).tolist()
    return [
        sid for sid, one in zip(known, meant, strict=True) if one and _is_inactive(subjects, sid, folders)
    ]


def _is_inactive(subjects: StoredSubjects, sid: str, folders: Mapping[str, SubjectFolder]) -> bool:
    folder = folders.get(sid) or subject_folder(f"{subjects.layout.subjects}{sid}/", ())
    subject = subjects.describe(folder, with_encounters=False)
    return subject is not None and subject.status is Status.INACTIVE


def _folders(subjects: StoredSubjects) -> Iterator[SubjectFolder]:
    """Return the folders of subjects that may have encounters which are objects."""
    compacted = bool(subjects.segments.view.segments)
    return subjects.touched(subjects.claims.forms(subjects.claims.stored()) if compacted else {})


def _loose(subjects: StoredSubjects) -> Iterator[list[Encounter]]:
    """Yield the encounters of subjects that are objects and no rows."""
    for folder in _folders(subjects):
        if found := subjects.describe(folder, with_encounters=True):
            yield [one for one in found.encounters if one.encounter_id not in subjects.segments]
