"""Amendments: changed labels of encounters and statuses of subjects, until they are folded into rows."""

import threading
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from operator import attrgetter

from facegrid.domain.calls import Call
from facegrid.domain.galleries import Amendment, Encounter
from facegrid.domain.labels import Labels
from facegrid.storage.objects.forms import Form, read, to_json
from facegrid.storage.objects.store import ObjectMissing, ObjectStore
from facegrid.storage.records.claims import check_fingerprint
from facegrid.storage.records.codec import labels_form, parse_labels
from facegrid.storage.records.layout import GalleryLayout
from facegrid.storage.records.segments import Segments


@dataclass(frozen=True, slots=True)
class StoredAmendment:
    """An amendment that is an object: its name, the subject's hash, and the call's fingerprint."""

    name: str
    sid: str
    fingerprint: str
    amendment: Amendment

    @property
    def target(self) -> str:
        """The id of the encounter, or the hash of the subject, that it is about."""
        return self.amendment.encounter_id or self.sid


class Amendments:
    """The amendments of a gallery: objects, one a call, of which the newest of a target counts.

    `newest` has those that count, and for a while those that have become part of rows. `unsettled` are names
    of which an index may not know yet.
    """

    def __init__(self, store: ObjectStore, layout: GalleryLayout, segments: Segments) -> None:
        """Read those that are objects."""
        self._store, self._layout, self._segments = store, layout, segments
        self._turn = threading.Lock()
        self._stored: dict[str, list[StoredAmendment]] = defaultdict(list)
        self.newest: dict[str, Amendment] = {}
        self.unsettled: set[str] = set()
        self.look()

    def look(self) -> set[str]:
        """Read the objects that were written since; returns the names of all that there are."""
        prefix = self._layout.amendments
        names = {key.removeprefix(prefix).removesuffix(".json") for key in self._store.keys(prefix)}
        with self._turn:
            known = {one.name for one in chain.from_iterable(self._stored.values())}
        for name in names - known:
            with suppress(ObjectMissing):  # compacted meanwhile
                self._count(self._read(name))
        return names

    def keep(self, names: set[str]) -> None:
        """Forget all but these objects, for the others have become part of rows."""
        with self._turn:
            for one in [*chain.from_iterable(self._stored.values())]:
                if one.name not in names:
                    self._forget(one)
            self._forget_folded()

    def find(self, call: Call) -> Amendment | None:
        """Return what an earlier try of this call changed, its labels aside. Raises RequestIdReused."""
        name = self._layout.request(call)
        try:
            self._count(stored := self._read(name))  # a write that failed may yet be done
        except ObjectMissing:
            record = self._segments.record(name)
            if record is None:
                return None
            stored = parse_amendment(name, record["amendment"])
        check_fingerprint(stored.fingerprint, call)
        return stored.amendment

    def write(self, sid: str, amendment: Amendment, call: Call) -> None:
        """Write the amendment of a call, of a subject's hash: from here on it counts."""
        name = self._layout.request(call)
        stored = StoredAmendment(name, sid, call.fingerprint, amendment)
        form = {
            **memory_form(stored),
            "labels": labels_form(amendment.labels),
            "time": datetime.now(UTC).isoformat(),
            "request_id": call.request_id,
            "actor": call.end_user,
        }
        self.unsettled.add(name)
        if self._store.put_if_absent(self._key(name), to_json(form)):
            self._count(stored)

    def settle(self, call: Call) -> None:
        """Let compaction have what a call changed, of which the index knows."""
        self.unsettled.discard(self._layout.request(call))

    def apply(self, encounter: Encounter) -> Encounter:
        """Return an encounter with the labels that it has now."""
        if not self.newest:
            return encounter
        sid = self._layout.sid(encounter.subject_id)
        labels = self.labels(encounter.encounter_id, sid, encounter.revision, encounter.labels)
        return replace(encounter, labels=labels)

    def labels(self, encounter_id: str, sid: str, revision: int, labels: Labels) -> Labels:
        """Return the labels that an encounter has now.

        It has the status that its subject has had since its revision; what changed that before is not of
        this encounter, nor perhaps of this subject, but of a deleted one of the same id.
        """
        own, subject = self.newest.get(encounter_id), self.newest.get(sid)
        counts = subject and subject.revision >= revision
        status = subject.labels.subject_status if subject and counts else labels.subject_status
        return replace(own.labels if own else labels, subject_status=status)

    @property
    def count(self) -> int:
        """The number of those that are objects."""
        with self._turn:
            return sum(map(len, self._stored.values()))

    @property
    def targets(self) -> tuple[list[str], list[str]]:
        """The ids of the encounters and the hashes of the subjects that are amended."""
        encounters = [target for target, one in self.newest.items() if one.encounter_id]
        return encounters, [target for target, one in self.newest.items() if not one.encounter_id]

    def settled(self) -> list[StoredAmendment]:
        """Return the objects that compaction may fold, oldest first; forget what it folded before.

        They are all of a target or none: an older one that is left alone would count again.
        """
        with self._turn:
            self._forget_folded()
            found = (
                several
                for several in self._stored.values()
                if self.unsettled.isdisjoint(one.name for one in several)
            )
            return sorted(chain.from_iterable(found), key=_revision)

    def remove(self, stored: StoredAmendment) -> None:
        """Remove an object whose content is part of rows, the older ones of its target before it."""
        self._store.delete(self._key(stored.name))
        with self._turn:
            self._forget(stored)

    def erase(self, encounter_ids: Iterable[str]) -> None:
        """Remove all that was changed of encounters that are gone."""
        with self._turn:
            gone = [stored for one in encounter_ids for stored in self._stored.get(one, ())]
        for stored in sorted(gone, key=_revision):
            self.remove(stored)

    def _count(self, stored: StoredAmendment) -> None:
        with self._turn:
            self._forget(stored)
            self._stored[stored.target].append(stored)
            known = self.newest.get(stored.target)
            if known is None or known.revision < stored.amendment.revision:
                self.newest = {**self.newest, stored.target: stored.amendment}

    def _forget(self, stored: StoredAmendment) -> None:
        left = [one for one in self._stored.pop(stored.target, ()) if one.name != stored.name]
        if left:
            self._stored[stored.target] = left

    def _forget_folded(self) -> None:
        self.newest = {target: one for target, one in self.newest.items() if target in self._stored}

    def _read(self, name: str) -> StoredAmendment:
        def parse(form: Form) -> StoredAmendment:
            return parse_amendment(name, form)

        return read(self._store, self._key(name), parse)

    def _key(self, name: str) -> str:
        return f"{self._layout.amendments}{name}.json"


_revision = attrgetter("amendment.revision")


def memory_form(stored: StoredAmendment) -> Form:
    """Return what the retry of a call is to be told, without labels."""
    return {
        "sid": stored.sid,
        "encounter_id": stored.amendment.encounter_id,
        "revision": stored.amendment.revision,
        "fingerprint": stored.fingerprint,
    }


def parse_amendment(name: str, form: Form) -> StoredAmendment:
    """Return the amendment of a form, without labels where it is only remembered."""
    labels = parse_labels(form["labels"]) if "labels" in form else Labels()
    amendment = Amendment(form["encounter_id"], labels, form["revision"])
    return StoredAmendment(name, form["sid"], form["fingerprint"], amendment)
