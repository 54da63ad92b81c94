"""All encounters of a gallery in the order of their subjects' hashes, read beside those who write."""

from collections.abc import Iterable
from contextlib import suppress
from itertools import islice, takewhile

from facegrid.domain.galleries import Encounter
from facegrid.storage.objects.store import ObjectMissing, ObjectStore
from facegrid.storage.records.folders import SubjectFolder
from facegrid.storage.records.layout import GalleryLayout
from facegrid.storage.records.segments import LAST_SID
from facegrid.storage.records.subjects import StoredSubjects


def export_page(subjects: StoredSubjects, after: str, rows: int) -> tuple[list[Encounter], str]:
    """Return encounters of the subjects after a hash, and the last hash that was read; '' at the end.

    Rows are read at once, and subjects with objects one by one. Objects are listed before the rows and again
    after them: what was compacted between is a row by then, and what replaced a row has become an object.
    """
    subjects.refresh()
    last = subjects.segments.sid_ahead(after, rows)
    listed = list(islice(_loose(subjects, after, last), rows))
    if len(listed) == rows:
        last = listed[-1].sid
    subjects.refresh()
    found = subjects.segments.between(after, last)
    folders = {folder.sid: folder for folder in [*listed, *_loose(subjects, after, last)]}
    encounters = [one for one in found if subjects.layout.sid(one.subject_id) not in folders]
    for folder in folders.values():
        if subject := subjects.describe(folder, with_encounters=True):
            encounters += subject.encounters
    return encounters, "" if last == LAST_SID else last


def _loose(subjects: StoredSubjects, after: str, last: str) -> Iterable[SubjectFolder]:
    """Return the folders of subjects with encounters that are objects."""
    folders = takewhile(lambda folder: folder.sid <= last, subjects.stored_folders(after))
    return (folder for folder in folders if folder.committed)


def read_photograph(
    store: ObjectStore, layout: GalleryLayout, encounter: Encounter, sample: int
) -> bytes | None:
    """Return the photograph of a sample; None where it is not kept, or was removed."""
    with suppress(ObjectMissing):
        return store.get(layout.photograph(encounter.subject_id, encounter.encounter_id, sample))
    return None
