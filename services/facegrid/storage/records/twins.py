"""What a migration carries between the records of two galleries, which have the same key."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial

from facegrid.domain.calls import Call
from facegrid.domain.errors import DamagedRecords
from facegrid.domain.galleries import Encounter, Gallery
from facegrid.domain.migrations import LeftBehind, LeftBehindReason
from facegrid.storage.objects.forms import Form, read, to_json
from facegrid.storage.objects.store import ObjectMissing, ObjectStore, UnreadableObject
from facegrid.storage.records.claims import unknown_claim
from facegrid.storage.records.layout import PAST_ALL
from facegrid.storage.records.records import StoredRecords
from facegrid.storage.records.subjects import StoredSubjects


class StoredTwins:
    """TwinRecords on an object store."""

    def __init__(self, store: ObjectStore, records: StoredRecords) -> None:
        """Take the records, and the store that they stand in."""
        self._store, self._records = store, records

    async def migrate(self, name: str, change: Callable[[Gallery], Gallery]) -> Gallery:
        """Let a name lead to what `change` makes of its gallery and migration. Raises GalleryNotFound."""
        return await self._records.with_galleries(lambda stored: stored.migrate(name, change))

    async def end_migration(self, name: str, call: Call, check: Callable[[Gallery], None]) -> str:
        """Take the twin's name away, if `check` raises nothing, and return its id."""
        return await self._records.with_galleries(lambda stored: stored.end_migration(name, call, check))

    async def photograph(self, gallery: Gallery, encounter: Encounter, sample: int) -> bytes:
        """Return the photograph of a sample. Raises UnreadableObject."""

        def get(subjects: StoredSubjects) -> bytes:
            key = subjects.layout.photograph(encounter.subject_id, encounter.encounter_id, sample)
            try:
                return self._store.get(key)
            except ObjectMissing:
                raise UnreadableObject.missing(key) from None

        return await self._records.with_subjects(gallery, get)

    async def adopt(self, source: Gallery, target: Gallery, encounter: Encounter, since: datetime) -> None:
        """Commit an encounter of `source` to `target`, with its claim and its photographs."""
        owner = await self._records.with_subjects(source, lambda subjects: subjects)
        await self._records.with_subjects(target, partial(self._adopt, owner, encounter, since))

    def _adopt(
        self, owner: StoredSubjects, encounter: Encounter, since: datetime, target: StoredSubjects
    ) -> None:
        one = encounter.encounter_id
        prefix = target.layout.subject(encounter.subject_id)
        sid = target.layout.sid(encounter.subject_id)
        target.claims.carry(one, {**(owner.claims.form(one) or unknown_claim(one)), "sid": sid})
        nothing = [None] * len(encounter.samples)
        try:
            for write in target.samples.writes(replace(encounter, created=since), nothing):
                write()
            for number, sample in enumerate(encounter.samples):
                if sample.photograph_kept:
                    self._copy(owner, target, encounter, number)
            target.mark(encounter)
        except (OSError, DamagedRecords):
            target.discard(prefix, one)
            raise

    def _copy(self, owner: StoredSubjects, target: StoredSubjects, encounter: Encounter, number: int) -> None:
        key, copied = (
            one.layout.photograph(encounter.subject_id, encounter.encounter_id, number)
            for one in (owner, target)
        )
        try:
            self._store.copy(key, copied)
        except ObjectMissing:
            raise UnreadableObject.missing(key) from None

    async def gone(self, gallery: Gallery, encounter_ids: Sequence[str]) -> set[str]:
        """Return those of the encounters that a deletion took away from the gallery."""
        return await self._records.with_subjects(gallery, lambda stored: stored.claims.gone(encounter_ids))

    async def remember(self, source: Gallery, target: Gallery, encounter_ids: Sequence[str]) -> None:
        """Let the request ids of encounters that are gone from `source` be refused by `target` as well."""
        owner = await self._records.with_subjects(source, lambda subjects: subjects)

        def carry(target: StoredSubjects) -> None:
            for one in encounter_ids:
                if (form := owner.claims.form(one)) and form["state"] == "deleted":
                    target.claims.carry(one, form)

        await self._records.with_subjects(target, carry)

    async def remember_all(self, source: Gallery, target: Gallery) -> None:
        """Let `target` answer the retry of whatever deleted something from `source`, or was deleted."""
        owner = await self._records.with_subjects(source, lambda subjects: subjects)
        await self._records.with_subjects(target, partial(_remember_all, self._store, owner))

    async def leave_behind(self, gallery: Gallery, left: LeftBehind) -> None:
        """Note that the gallery lacks an encounter."""
        form = to_json({"subject_id": left.subject_id, "reason": left.reason.value})
        await self._records.with_subjects(
            gallery, lambda subjects: self._store.put(_left_key(subjects, left.encounter_id), form)
        )

    async def settle(self, gallery: Gallery, encounter_ids: Sequence[str]) -> None:
        """Note that the gallery lacks none of these encounters any more."""

        def delete(subjects: StoredSubjects) -> None:
            for one in encounter_ids:
                self._store.delete(_left_key(subjects, one))

        await self._records.with_subjects(gallery, delete)

    async def settle_all(self, gallery: Gallery) -> None:
        """Forget what the gallery lacks: no migration has another one that could bring it."""
        await self._records.with_subjects(
            gallery, lambda subjects: self._store.delete_prefix(subjects.layout.left_behind)
        )

    async def left_behind(self, gallery: Gallery, after: str, limit: int) -> list[LeftBehind]:
        """Return up to `limit` encounters that the gallery lacks, whose ids come after `after`."""

        def read_all(subjects: StoredSubjects) -> list[LeftBehind]:
            prefix = subjects.layout.left_behind
            found: list[LeftBehind] = []
            for key in self._store.keys(prefix, f"{prefix}{after}{PAST_ALL}" if after else ""):
                if len(found) == limit:
                    break
                with suppress(ObjectMissing):  # settled meanwhile
                    parse = partial(_parse_left, key.removeprefix(prefix).removesuffix(".json"))
                    found.append(read(self._store, key, parse))
            return found

        return await self._records.with_subjects(gallery, read_all)

    async def count_left_behind(self, gallery: Gallery) -> int:
        """Return the number of encounters that the gallery lacks."""
        return await self._records.with_subjects(
            gallery, lambda subjects: sum(1 for _ in self._store.keys(subjects.layout.left_behind))
        )


def _remember_all(store: ObjectStore, owner: StoredSubjects, target: StoredSubjects) -> None:
    """Objects come first: what is compacted meanwhile becomes a row before its object goes."""
    for name, tombstone in owner.tombstones.stored():
        if name not in tombstone.encounter_ids:
            with suppress(ObjectMissing):
                store.put_if_absent(target.tombstones.key(name), store.get(owner.tombstones.key(name)))
    for one, form in owner.claims.forms(owner.claims.stored()).items():
        if form["state"] == "deleted":
            target.claims.carry(one, form)
    for one, record in owner.segments.memories():
        if "tombstone" in record:
            store.put_if_absent(target.tombstones.key(one), to_json(record["tombstone"]))
        elif record["claim"]:
            target.claims.carry(one, {**record["claim"], "state": "deleted"})


def _left_key(subjects: StoredSubjects, encounter_id: str) -> str:
    return f"{subjects.layout.left_behind}{encounter_id}.json"


def _parse_left(encounter_id: str, form: Form) -> LeftBehind:
    return LeftBehind(form["subject_id"], encounter_id, LeftBehindReason(form["reason"]))
