"""Subjects of record: which of a subject's objects count, and the removal of those that no longer do."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import groupby

import numpy as np

from facegrid.domain.calls import Call
from facegrid.domain.faces import Floats
from facegrid.domain.galleries import Encounter, Gallery, Subject, Tombstone
from facegrid.identity.ports import Claim
from facegrid.storage.claims import Claims, StoredClaim, check_fingerprint
from facegrid.storage.codec import Form, encounter_form, parse_encounter, read, to_json, with_vectors
from facegrid.storage.layout import PAST_ALL, GalleryLayout, encounter_prefix, mark_key
from facegrid.storage.objects import ObjectMissing, ObjectStore, UnreadableObject


@dataclass(frozen=True, slots=True)
class SubjectFolder:
    """The prefix of one subject, and the ids that encounters below it have, committed or not."""

    prefix: str
    committed: frozenset[str]
    unfinished: frozenset[str]

    @property
    def sid(self) -> str:
        """The keyed hash of the subject's id."""
        return self.prefix.split("/")[-2]


class StoredSubjects:
    """The subjects of one gallery; each method blocks.

    An encounter is there from the moment its mark is, and until a tombstone or the mark of another
    encounter of its subject names it. All other objects of a subject are what is left to write or to remove.
    """

    def __init__(self, store: ObjectStore, gallery: Gallery) -> None:
        """Read the gallery's tombstones."""
        self._store, self._claims = store, Claims(store)
        self._gallery, self._layout = gallery, GalleryLayout(gallery)
        self._buried: set[str] = set()
        self.last_revision = 0
        for key in store.keys(self._layout.tombstones):
            self._count(read(store, key, _parse_tombstone)[1])

    def find_claim(self, encounter_id: str, call: Call) -> Claim:
        """Say what an earlier try of a call left. Raises RequestIdReused."""
        return _state(self._claims.find(self._layout.claim(encounter_id), call))

    def claim(self, encounter_id: str, call: Call) -> Claim:
        """Bind a call to its encounter. Raises RequestIdReused."""
        return _state(self._claims.make(self._layout.claim(encounter_id), call, encounter_id))

    def sample_writes(
        self, encounter: Encounter, photographs: Sequence[bytes | None]
    ) -> list[Callable[[], object]]:
        """Return the writes that come before an encounter's mark, in any order or at once."""
        prefix = self._layout.subject(encounter.subject_id)
        subject = {
            "subject_id": encounter.subject_id,
            "status": "active",
            "created": encounter.created.isoformat(),
            "request_id": encounter.request_id,
            "actor": encounter.actor,
        }
        writes: list[Callable[[], object]] = [
            partial(self._store.put_if_absent, f"{prefix}subject.json", to_json(subject))
        ]
        for number, (sample, photograph) in enumerate(zip(encounter.samples, photographs, strict=True)):
            template = _template_key(prefix, encounter.encounter_id, number, sample.template.version)
            writes.append(partial(self._store.put, template, sample.template.to_bytes()))
            if photograph is not None:
                source = f"{encounter_prefix(prefix, encounter.encounter_id)}{number}/source"
                writes.append(partial(self._store.put, source, photograph))
        return writes

    def discard(self, encounter: Encounter) -> None:
        """Remove what was written of an encounter that has no mark."""
        prefix = self._layout.subject(encounter.subject_id)
        self._store.delete_prefix(encounter_prefix(prefix, encounter.encounter_id))

    def mark(self, encounter: Encounter) -> None:
        """Commit an encounter whose other objects are written."""
        key = mark_key(self._layout.subject(encounter.subject_id), encounter.encounter_id)
        self._store.put(key, to_json(encounter_form(encounter)))

    def folders(self, after: str = "") -> Iterator[SubjectFolder]:
        """Yield the subjects' folders, lazily, in the order of their hashes."""
        prefix = self._layout.subjects
        keys = self._store.keys(prefix, f"{prefix}{after}{PAST_ALL}" if after else "")
        for sid, group in groupby(keys, key=lambda key: key[len(prefix) :].partition("/")[0]):
            yield _folder(f"{prefix}{sid}/", group)

    def folder(self, subject_id: str) -> SubjectFolder:
        """Return a subject's folder, which may be empty."""
        prefix = self._layout.subject(subject_id)
        return _folder(prefix, self._store.keys(prefix))

    def describe(self, folder: SubjectFolder, *, with_encounters: bool) -> Subject | None:
        """Return a subject; None where no encounter of it is active.

        Where an object goes while it is read, the folder is listed again: a reader meets a replacement's
        old state or its new one, and nothing between.
        """
        while True:
            try:
                return self._describe(folder, with_encounters=with_encounters)
            except ObjectMissing:
                folder = _folder(folder.prefix, self._store.keys(folder.prefix))

    def _describe(self, folder: SubjectFolder, *, with_encounters: bool) -> Subject | None:
        try:
            head = read(self._store, f"{folder.prefix}subject.json", _parse_subject)
        except ObjectMissing:
            head = None
        marked = self._marked(folder)
        gone = self._gone(marked)
        active = [one for one in marked if one.encounter_id not in gone]
        if not active:
            return None
        if head is None:
            raise _missing(f"{folder.prefix}subject.json")
        filled = self._fill(folder, active) if with_encounters else ()
        return Subject(*head, tuple(sorted(filled, key=lambda one: (one.created, one.revision))))

    def load(self, folders: Sequence[SubjectFolder]) -> list[Encounter]:
        """Finish what a crash left half done in some folders and return their active encounters."""
        return [one for folder in folders for one in self._fill(folder, self.tidy(folder))]

    def tidy(self, folder: SubjectFolder, doomed: Collection[str] = ()) -> list[Encounter]:
        """Remove what does not count, the doomed among it, and return the active encounters, unfilled."""
        marked = self._marked(folder)
        gone = {*doomed, *self._gone(marked)}
        active = [one for one in marked if one.encounter_id not in gone]
        replaced_first = [one.encounter_id for one in marked if one.encounter_id in gone]
        for encounter_id in (*replaced_first, *(folder.unfinished & gone)):
            self._claims.mark_deleted(self._layout.claim(encounter_id))
            self._store.delete(mark_key(folder.prefix, encounter_id))
            self._store.delete_prefix(encounter_prefix(folder.prefix, encounter_id))
        for encounter_id in folder.unfinished - gone:
            self._store.delete_prefix(encounter_prefix(folder.prefix, encounter_id))
        if not active:
            self._store.delete_prefix(folder.prefix)
        return active

    def tombstone(self, call: Call) -> Tombstone | None:
        """Return the tombstone of an earlier try of this call. Raises RequestIdReused."""
        try:
            fingerprint, tombstone = read(self._store, self._layout.tombstone(call), _parse_tombstone)
        except ObjectMissing:
            return None
        check_fingerprint(fingerprint, call)
        return tombstone

    def bury(self, tombstone: Tombstone, call: Call) -> None:
        """Write a tombstone. Raises RequestIdReused."""
        form = {
            "encounter_ids": list(tombstone.encounter_ids),
            "revision": tombstone.revision,
            "fingerprint": call.fingerprint,
            "time": datetime.now(UTC).isoformat(),
            "request_id": call.request_id,
            "actor": call.end_user,
        }
        if not self._store.put_if_absent(self._layout.tombstone(call), to_json(form)):
            tombstone = self.tombstone(call) or tombstone
        self._count(tombstone)

    def _count(self, tombstone: Tombstone) -> None:
        self._buried.update(tombstone.encounter_ids)
        self.last_revision = max(self.last_revision, tombstone.revision)

    def _marked(self, folder: SubjectFolder) -> list[Encounter]:
        """Return all encounters that have a mark, in the order of their commits."""
        found = [self._read_mark(folder, encounter_id) for encounter_id in folder.committed]
        return sorted(found, key=lambda one: one.revision)

    def _read_mark(self, folder: SubjectFolder, encounter_id: str) -> Encounter:
        parse = partial(parse_encounter, version=self._gallery.template_version)
        return read(self._store, mark_key(folder.prefix, encounter_id), parse)

    def _gone(self, marked: Sequence[Encounter]) -> set[str]:
        replaced = {encounter_id for one in marked for encounter_id in one.replaces}
        return replaced | {one.encounter_id for one in marked if one.encounter_id in self._buried}

    def _fill(self, folder: SubjectFolder, encounters: Sequence[Encounter]) -> list[Encounter]:
        return [self._with_templates(folder, one) for one in encounters]

    def _with_templates(self, folder: SubjectFolder, encounter: Encounter) -> Encounter:
        keys = [
            _template_key(folder.prefix, encounter.encounter_id, number, sample.template.version)
            for number, sample in enumerate(encounter.samples)
        ]
        try:
            return with_vectors(encounter, [self._vector(key) for key in keys])
        except ObjectMissing as missing:
            self._read_mark(folder, encounter.encounter_id)  # raises where the encounter was erased meanwhile
            raise _missing(str(missing)) from None

    def _vector(self, key: str) -> Floats:
        data = self._store.get(key)
        if len(data) != 4 * self._gallery.dimension:
            raise UnreadableObject(f"the object {key} is damaged; restore it from a backup")
        return np.frombuffer(data, "<f4").astype(np.float32)


def _state(claim: StoredClaim | None) -> Claim:
    if claim is None:
        return Claim.NEW
    return Claim.DELETED if claim.deleted else Claim.SEEN


def _missing(key: str) -> UnreadableObject:
    return UnreadableObject(f"the object {key} is missing; restore it from a backup")


def _folder(prefix: str, keys: Iterator[str]) -> SubjectFolder:
    paths = [
        key.removeprefix(f"{prefix}encounters/") for key in keys if key.startswith(f"{prefix}encounters/")
    ]
    committed = {path.partition("/")[0] for path in paths if path.endswith("/encounter.json")}
    present = {path.partition("/")[0] for path in paths}
    return SubjectFolder(prefix, frozenset(committed), frozenset(present - committed))


def _template_key(subject: str, encounter_id: str, number: int, version: str) -> str:
    return f"{encounter_prefix(subject, encounter_id)}{number}/templates/{version}"


def _parse_subject(form: Form) -> tuple[str, datetime]:
    return form["subject_id"], datetime.fromisoformat(form["created"])


def _parse_tombstone(form: Form) -> tuple[str, Tombstone]:
    return form["fingerprint"], Tombstone(tuple(form["encounter_ids"]), form["revision"])
