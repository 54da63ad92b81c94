"""The claims of a gallery's enrolments: objects, until their encounters become rows that hold them.

A row holds its claim, so that a compacted encounter leaves no object behind but its photographs; a million
small claims would outweigh the templates.
"""

import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from facegrid.domain.calls import Call
from facegrid.identity.ports import Claim
from facegrid.storage.objects.forms import Form, read, to_json
from facegrid.storage.objects.store import ObjectMissing, ObjectStore
from facegrid.storage.records.claims import Claims, StoredClaim, check_fingerprint, parse_claim
from facegrid.storage.records.layout import GalleryLayout, encounter_prefix
from facegrid.storage.records.segments import Segments


class EnrolmentClaims:
    """Which payload an enrolment's request id stands for, and what became of its encounter.

    `void` are encounters whose marks do not count, should they come late, for a write that failed may yet
    be done.
    """

    def __init__(self, store: ObjectStore, layout: GalleryLayout, segments: Segments) -> None:
        """Take the store, the gallery's keys and its segments."""
        self._store, self._layout, self._segments = store, layout, segments
        self._objects = Claims(store)
        self.void: set[str] = set()
        self._turn, self._begun = threading.Lock(), Counter[str]()

    def find(self, encounter_id: str, call: Call) -> Claim:
        """Say what an earlier try of a call left. Raises RequestIdReused."""
        claim = self._noted(self._objects.find(self._layout.claim(encounter_id), call))
        claim = self._compacted(encounter_id, call) or claim  # last: the row is there before the object goes
        return Claim.DELETED if claim and encounter_id in self._segments.erased else _state(claim)

    def make(self, subject_id: str, encounter_id: str, call: Call) -> Claim:
        """Bind a call to its encounter, until its `end` or an error. Raises RequestIdReused."""
        with self._turn:
            self._begun[encounter_id] += 1
        try:
            return self._bind(subject_id, encounter_id, call)
        except BaseException:
            self.end(encounter_id)
            raise

    def _bind(self, subject_id: str, encounter_id: str, call: Call) -> Claim:
        if claim := self._compacted(encounter_id, call):
            return _state(claim)
        key, sid = self._layout.claim(encounter_id), self._layout.sid(subject_id)
        return _state(self._noted(self._objects.make(key, call, encounter_id, sid=sid)))

    def end(self, encounter_id: str) -> None:
        """Take note that an enrolment was committed, or broken off."""
        with self._turn:
            self._begun[encounter_id] -= 1
            if self._begun[encounter_id] <= 0:
                del self._begun[encounter_id]

    def remove_unused(self, encounter_id: str, sid: str) -> bool:
        """Remove the claim of an enrolment that ended before it wrote, unless it begins again; say which."""
        with self._turn:
            prefix = encounter_prefix(f"{self._layout.subjects}{sid}/", encounter_id)
            if encounter_id in self._begun or any(self._store.keys(prefix)):
                return False
            self.remove(encounter_id)
            return True

    def _noted(self, claim: StoredClaim | None) -> StoredClaim | None:
        if claim and claim.discarded:
            self.void.add(claim.made)
        return claim

    def mark_deleted(self, encounter_id: str, sid: str) -> None:
        """Let a claim that is an object say that its encounter was deleted."""
        self._objects.mark(self._layout.claim(encounter_id), "deleted", sid=sid)

    def discard(self, encounter_id: str) -> None:
        """Let a claim say that what was written of its encounter goes, before it does."""
        self.void.add(encounter_id)
        self._objects.mark(self._layout.claim(encounter_id), "discarded")

    def renew(self, encounter_id: str) -> None:
        """Let a claim stand again, if its encounter was discarded."""
        if encounter_id in self.void:
            self._objects.mark(self._layout.claim(encounter_id), "active")

    def is_void(self, encounter_id: str) -> bool:
        """Say whether a mark whose templates are missing belongs to what was discarded or deleted."""
        if self.forms([encounter_id]).get(encounter_id, {}).get("state") in {"discarded", "deleted"}:
            self.void.add(encounter_id)
        return encounter_id in self.void

    def stored(self) -> list[str]:
        """Return the ids of the encounters whose claims are objects."""
        prefix = self._layout.claims
        return [key.removeprefix(prefix).removesuffix(".json") for key in self._store.keys(prefix)]

    def forms(self, encounter_ids: Iterable[str]) -> dict[str, Form]:
        """Return the claims that are objects, as far as they are."""
        found: dict[str, Form] = {}
        for one in encounter_ids:
            with suppress(ObjectMissing):
                found[one] = read(self._store, self._layout.claim(one), dict)
        return found

    def form(self, encounter_id: str) -> Form | None:
        """Return the claim of an encounter with what became of it; None where there is none."""
        form = self.forms([encounter_id]).get(encounter_id)
        if form is None and (record := self._segments.record(encounter_id)):
            form = record["claim"]
        if form and encounter_id in self._segments and not self._segments.shows(encounter_id):
            return {**form, "state": "deleted"}
        return form

    def carry(self, encounter_id: str, form: Form) -> None:
        """Let the claim of a migration's other gallery count in this one; a deletion counts for both."""
        key = self._layout.claim(encounter_id)
        if encounter_id in self._segments or self._store.put_if_absent(key, to_json(form)):
            return
        if form["state"] == "deleted":
            self._objects.mark(key, "deleted")
        elif self.forms([encounter_id]).get(encounter_id, {}).get("state") == "discarded":
            self.void.add(encounter_id)

    def gone(self, encounter_ids: Iterable[str]) -> set[str]:
        """Return those of the encounters that a deletion took away; the others may never have been here."""
        ids = set(encounter_ids)
        hidden = {one for one in ids if one in self._segments and not self._segments.shows(one)}
        deleted = {one for one, form in self.forms(ids - hidden).items() if form["state"] == "deleted"}
        return hidden | deleted | ids.intersection(self._segments.erased)

    def remove(self, encounter_id: str) -> None:
        """Remove the object of a claim that a row holds, or nothing."""
        self._store.delete(self._layout.claim(encounter_id))

    def _compacted(self, encounter_id: str, call: Call) -> StoredClaim | None:
        record = self._segments.record(encounter_id)
        if record is None:
            return None
        deleted = not self._segments.shows(encounter_id)
        if record["claim"] is None:  # imported, under the request id of the import
            return StoredClaim(encounter_id, deleted)
        fingerprint, claim = parse_claim(record["claim"])
        check_fingerprint(fingerprint, call)
        return replace(claim, deleted=deleted)


def _state(claim: StoredClaim | None) -> Claim:
    if claim is None:
        return Claim.NEW
    return Claim.DELETED if claim.deleted else Claim.SEEN
