"""Subjects of record: which of a subject's objects count, and the removal of those that no longer do."""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from heapq import merge
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING

from facegrid.domain.calls import Call
from facegrid.domain.galleries import Amendment, Encounter, Gallery, IndexRows, Subject, Tombstone
from facegrid.domain.labels import Status
from facegrid.storage.objects.forms import Form, read, to_json
from facegrid.storage.objects.store import ObjectMissing, ObjectStore, UnreadableObject
from facegrid.storage.records.amendments import Amendments
from facegrid.storage.records.codec import (
    encounter_form,
    parse_encounter,
    parse_subject,
    with_vectors,
)
from facegrid.storage.records.enrolments import EnrolmentClaims
from facegrid.storage.records.folders import SubjectFolder, subject_folder
from facegrid.storage.records.layout import PAST_ALL, GalleryLayout, encounter_prefix, mark_key
from facegrid.storage.records.samples import Samples
from facegrid.storage.records.segments import Segments, View
from facegrid.storage.records.tombstones import Tombstones

if TYPE_CHECKING:  # pyarrow takes half a second to import
    from facegrid.storage.records.segment import Segment


class StoredSubjects:
    """The subjects of one gallery; each method blocks.

    An encounter is there from the moment its mark is, and until a tombstone or the mark of another
    encounter of its subject names it; a row of a segment is a mark with all that belongs to it. All other
    objects of a subject are what is left to write or to remove.

    `loose` counts what a compaction would take up; `folding` are encounters that one is about to make rows,
    or was when its manifest failed, which may yet come; `compacting` is held by one, which only a gallery
    that is `loaded` is due for; `hidden_since` is the time of the first deletion that may have rows left in
    segments; `unsettled` are encounters whose removal may not be complete; `replaced`, what objects replaced.
    """

    def __init__(self, store: ObjectStore, gallery: Gallery) -> None:
        """Open the gallery's segments and read its tombstones, as the gallery's only writer."""
        self._store = store
        self.gallery, self.layout = gallery, GalleryLayout(gallery)
        self.segments = Segments(store, self.layout, self._amended)
        self.last_revision = self.segments.view.manifest.last_revision
        self.loaded, self.loose = False, 0
        self.hidden_since: datetime | None = None
        self.compacting = asyncio.Lock()
        self.folding, self.unsettled, self.replaced = set[str](), set[str](), set[str]()
        self.samples = Samples(store, self.layout)
        self.claims = EnrolmentClaims(store, self.layout, self.segments)
        self.amendments = Amendments(store, self.layout, self.segments)
        for amendment in self.amendments.newest.values():
            self._changed(amendment.revision)
        self.tombstones = Tombstones(store, self.layout, self.segments)
        self._open()

    def _open(self) -> None:
        self.segments.own()
        for _, tombstone in self.tombstones.stored():
            self._count(tombstone)

    def refresh(self) -> View:
        """Bring what is held in memory to the present, for the only writer has nothing to look up."""
        return self.segments.view

    def discard(self, subject: str, encounter_id: str) -> None:
        """Remove what was written, below a subject's prefix, of an encounter that was broken off."""
        self.claims.discard(encounter_id)
        self._store.delete_prefix(encounter_prefix(subject, encounter_id))

    def mark(self, encounter: Encounter) -> None:
        """Commit an encounter whose other objects are written."""
        key = mark_key(self.layout.subject(encounter.subject_id), encounter.encounter_id)
        self.claims.renew(encounter.encounter_id)
        self.claims.void.add(encounter.encounter_id)
        self._store.put(key, to_json(encounter_form(encounter)))
        self.claims.void.discard(encounter.encounter_id)
        self.loose += 1

    def folders(self, after: str = "") -> Iterator[SubjectFolder]:
        """Yield the subjects' folders, those of rows alone included, lazily, in the order of their hashes."""
        by_sid = attrgetter("sid")
        rows = (subject_folder(f"{self.layout.subjects}{sid}/", ()) for sid in self.segments.sids(after))
        for _, same in groupby(merge(self.stored_folders(after), rows, key=by_sid), by_sid):
            yield next(same)

    def stored_folders(self, after: str = "") -> Iterator[SubjectFolder]:
        """Yield the folders of subjects with objects of their own, lazily, in the order of their hashes."""
        prefix = self.layout.subjects
        keys = self._store.keys(prefix, f"{prefix}{after}{PAST_ALL}" if after else "")
        for sid, group in groupby(keys, key=lambda key: key[len(prefix) :].partition("/")[0]):
            yield subject_folder(f"{prefix}{sid}/", group)

    def folder(self, subject_id: str) -> SubjectFolder:
        """Return a subject's folder, which may be empty."""
        return self.folder_at(self.layout.subject(subject_id))

    def folder_at(self, prefix: str) -> SubjectFolder:
        """Return the folder of a prefix; what it lacks because it became a row or went is known after it."""
        folder = subject_folder(prefix, self._store.keys(prefix))
        self.refresh()
        return folder

    def describe(self, folder: SubjectFolder, *, with_encounters: bool) -> Subject | None:
        """Return a subject; None where no encounter of it is active.

        Where an object goes while it is read, the folder is listed again: a reader meets a replacement's
        old state or its new one, and nothing between.
        """
        while True:
            try:
                return self._describe(folder, with_encounters=with_encounters)
            except ObjectMissing:
                folder = self.folder_at(folder.prefix)

    def _describe(self, folder: SubjectFolder, *, with_encounters: bool) -> Subject | None:
        head = self._head(folder)  # before the marks, since it goes after them
        marked = self._marked(folder)
        gone = self._gone(marked)
        heads, rows = self.segments.subject(folder.sid, with_encounters=with_encounters)
        rows = [one for one in rows if one.encounter_id not in gone]
        gone.update(one.encounter_id for one in rows)
        active = [one for one in marked if one.encounter_id not in gone]
        if not active and not rows:
            return None
        if active and head is None:
            raise UnreadableObject.missing(f"{folder.prefix}subject.json")
        subject_id, created = min([*heads, *([head] if head else [])], key=itemgetter(1))
        filled = [*rows, *self.fill(folder, active)] if with_encounters else ()
        inactive = any(one.labels.subject_status is Status.INACTIVE for one in (*rows, *active))
        return Subject(
            subject_id,
            created,
            tuple(sorted(filled, key=lambda one: (one.created, one.revision))),
            Status.INACTIVE if inactive else Status.ACTIVE,
        )

    def _head(self, folder: SubjectFolder) -> tuple[str, datetime] | None:
        with suppress(ObjectMissing):
            if folder.committed:
                return read(self._store, f"{folder.prefix}subject.json", parse_subject)
        return None

    def touched(self, claims: Mapping[str, Form]) -> Iterator[SubjectFolder]:
        """Yield the folders of all subjects with records of their own or something left to remove.

        Photographs stay where they are when records are compacted, and there may be millions of them: so
        the claims, which go with the compaction, say where to look.
        """
        live = [form for form in claims.values() if form["state"] != "deleted"]
        if not self.segments.view.segments or not all("sid" in form for form in live):
            return self.stored_folders()
        rows = {sid for one in [*self.segments.erased] if (sid := self.segments.sid(one))}
        sids = sorted(rows | {form["sid"] for form in claims.values() if "sid" in form})
        prefixes = (f"{self.layout.subjects}{sid}/" for sid in sids)
        return (subject_folder(prefix, self._store.keys(prefix)) for prefix in prefixes)

    def settle(self, claims: Iterable[str]) -> None:
        """When all is loaded: nothing is left half done, so claims of encounters that have rows may go."""
        for encounter_id in claims:
            if encounter_id in self.segments:
                self.claims.remove(encounter_id)
        self.unsettled.clear()

    def index_rows(self, segment: "Segment") -> tuple[IndexRows, int]:
        """Return the rows of a segment as an index holds them, with the latest revision of one."""
        amended = segment.rows_of_any(*self.amendments.targets)
        return segment.index_rows(self.gallery.dimension, amended, self.amendments.labels)

    def head_form(self, folder: SubjectFolder) -> Form:
        """Return the form of a subject with encounters that are objects."""
        key = f"{folder.prefix}subject.json"
        try:
            return read(self._store, key, dict)
        except ObjectMissing:
            raise UnreadableObject.missing(key) from None

    def load(self, folders: Sequence[SubjectFolder]) -> list[Encounter]:
        """Finish what a crash left half done in some folders and return the active encounters in them."""
        loaded = [one for folder in folders for one in self.fill(folder, self.tidy(folder))]
        self.loose += len(loaded)
        self.replaced.update(old for one in loaded for old in one.replaces)
        return loaded

    def tidy(self, folder: SubjectFolder, doomed: Collection[str] = ()) -> list[Encounter]:
        """Remove what does not count, the doomed among it, and return the active encounters, unfilled.

        Objects of an encounter that has a row go, save its photographs.
        """
        marked = self._marked(folder)
        gone = {*doomed, *self._gone(marked)}
        self._bury_rows(gone)
        self.amendments.erase(gone)
        active = [one for one in marked if one.encounter_id not in gone]
        replaced_first = [one.encounter_id for one in marked if one.encounter_id in gone]
        left = (folder.committed | folder.unfinished) - {one.encounter_id for one in marked}
        for encounter_id in (*replaced_first, *(left & gone)):
            self.remove(folder, encounter_id)
        for encounter_id in left - gone:
            self._strip(folder, encounter_id)
        if not active and self.segments.has_subject(folder.sid):
            self._store.delete(f"{folder.prefix}subject.json")
        elif not active:
            self._store.delete_prefix(folder.prefix)
            if doomed:
                self._store.delete_prefix(self.layout.set_aside(folder.sid))
        self.unsettled -= gone
        return active

    def remove(self, folder: SubjectFolder, encounter_id: str) -> None:
        """Remove the objects of an encounter that is gone, its mark first."""
        self.claims.mark_deleted(encounter_id, folder.sid)
        self._store.delete(mark_key(folder.prefix, encounter_id))
        self._store.delete_prefix(encounter_prefix(folder.prefix, encounter_id))

    def _strip(self, folder: SubjectFolder, encounter_id: str) -> None:
        """Remove what is no part of an encounter; its mark, the last of its keys, says that there is more."""
        prefix = encounter_prefix(folder.prefix, encounter_id)
        if not self.segments.shows(encounter_id):
            self.discard(folder.prefix, encounter_id)
        elif encounter_id in folder.committed:
            for key in [key for key in self._store.keys(prefix) if not key.endswith("/source")]:
                self._store.delete(key)

    def _bury_rows(self, gone: set[str]) -> None:
        """Write a tombstone for each row that no deletion has one for: what replaced it may go before it."""
        for encounter_id in gone - self.segments.erased:
            if encounter_id in self.folding or self.segments.sid(encounter_id):
                self.tombstones.write_for_row(encounter_id)
                self._count(Tombstone((encounter_id,), 0))

    def bury(self, tombstone: Tombstone, call: Call) -> None:
        """Write a tombstone. Raises RequestIdReused."""
        if not self.tombstones.write(tombstone, call):
            tombstone = self.tombstones.find(call) or tombstone
        self._count(tombstone)

    def _count(self, tombstone: Tombstone) -> None:
        self.segments.erase(tombstone.encounter_ids)
        self.unsettled.update(tombstone.encounter_ids)
        written = tombstone.written or datetime.now(UTC)
        self.hidden_since = min(self.hidden_since or written, written)
        self._changed(tombstone.revision)

    def _amended(self, encounter: Encounter) -> Encounter:
        return self.amendments.apply(encounter)

    def amend(self, sid: str, amendment: Amendment, call: Call) -> None:
        """Write the amendment of a call, of a subject's hash: from here on it counts."""
        self.amendments.write(sid, amendment, call)
        self._changed(amendment.revision)

    def _changed(self, revision: int) -> None:
        self.loose += 1
        self.last_revision = max(self.last_revision, revision)

    def _marked(self, folder: SubjectFolder) -> list[Encounter]:
        """Return all encounters that have a mark that counts and no row, in the order of their commits."""
        ids = (one for one in folder.committed - self.claims.void if one not in self.segments)
        found = [self.read_mark(folder, encounter_id) for encounter_id in ids]
        found = [one for one in found if self.is_whole(folder, one)]
        return sorted(found, key=lambda one: one.revision)

    def is_whole(self, folder: SubjectFolder, marked: Encounter) -> bool:
        """Say whether a mark counts: it has its templates, or its claim says that it must."""
        return folder.has_templates(marked) or not self.claims.is_void(marked.encounter_id)

    def read_mark(self, folder: SubjectFolder, encounter_id: str) -> Encounter:
        """Return an encounter without its templates. Raises ObjectMissing and UnreadableObject."""
        parse = partial(parse_encounter, version=self.gallery.template_version)
        return self.amendments.apply(read(self._store, mark_key(folder.prefix, encounter_id), parse))

    def _gone(self, marked: Sequence[Encounter]) -> set[str]:
        replaced = {encounter_id for one in marked for encounter_id in one.replaces}
        return replaced | {one.encounter_id for one in marked if one.encounter_id in self.segments.erased}

    def fill(self, folder: SubjectFolder, encounters: Sequence[Encounter]) -> list[Encounter]:
        """Read the templates of encounters."""
        return [self._with_templates(folder, one) for one in encounters]

    def _with_templates(self, folder: SubjectFolder, encounter: Encounter) -> Encounter:
        try:
            return with_vectors(encounter, self.samples.vectors(folder.prefix, encounter))
        except ObjectMissing as missing:
            self.refresh()
            if encounter.encounter_id in self.segments:
                raise  # it became a row meanwhile
            self.read_mark(folder, encounter.encounter_id)  # raises where the encounter was erased meanwhile
            raise UnreadableObject.missing(missing) from None
