"""Tombstones: what a deletion took away, and the answer that it gave."""

from collections.abc import Iterator
from datetime import UTC, datetime

from facegrid.domain.calls import Call
from facegrid.domain.galleries import Tombstone
from facegrid.storage.objects.forms import Form, read, to_json
from facegrid.storage.objects.store import ObjectMissing, ObjectStore
from facegrid.storage.records.claims import check_fingerprint
from facegrid.storage.records.layout import GalleryLayout
from facegrid.storage.records.segments import Segments


class Tombstones:
    """The tombstones of a gallery: objects, or rows that remember them."""

    def __init__(self, store: ObjectStore, layout: GalleryLayout, segments: Segments) -> None:
        """Take the store, the gallery's keys and its segments."""
        self._store, self._layout, self._segments = store, layout, segments

    def find(self, call: Call) -> Tombstone | None:
        """Return the tombstone of an earlier try of this call. Raises RequestIdReused."""
        name = self._layout.request(call)
        try:
            fingerprint, tombstone = read(self._store, self.key(name), parse_tombstone)
        except ObjectMissing:
            record = self._segments.record(name)
            if record is None:
                return None
            fingerprint, tombstone = parse_tombstone(record["tombstone"])
        check_fingerprint(fingerprint, call)
        return tombstone

    def write(self, tombstone: Tombstone, call: Call) -> bool:
        """Write the tombstone of a call; say whether it is the first."""
        form = {
            "encounter_ids": list(tombstone.encounter_ids),
            "revision": tombstone.revision,
            "fingerprint": call.fingerprint,
            "time": datetime.now(UTC).isoformat(),
            "request_id": call.request_id,
            "actor": call.end_user,
        }
        return self._store.put_if_absent(self.key(self._layout.request(call)), to_json(form))

    def write_for_row(self, encounter_id: str) -> None:
        """Hide the row of an encounter that was replaced, whose successor may go before it."""
        time = datetime.now(UTC).isoformat()
        form = {"encounter_ids": [encounter_id], "revision": 0, "fingerprint": "", "time": time}
        self._store.put(self.key(encounter_id), to_json(form))

    def stored(self) -> Iterator[tuple[str, Tombstone]]:
        """Yield the names of the tombstones that are objects, and what they say."""
        for name in self.names():
            yield name, self.read(name)

    def names(self) -> Iterator[str]:
        """Yield the names of the tombstones that are objects."""
        for key in self._store.keys(self._layout.tombstones):
            yield key.removeprefix(self._layout.tombstones).removesuffix(".json")

    def read(self, name: str) -> Tombstone:
        """Return a tombstone that is an object. Raises ObjectMissing."""
        return read(self._store, self.key(name), parse_tombstone)[1]

    def count(self) -> int:
        """Return the number of the tombstones that are objects."""
        return sum(1 for _ in self._store.keys(self._layout.tombstones))

    def key(self, name: str) -> str:
        """Return the key of a tombstone."""
        return f"{self._layout.tombstones}{name}.json"


def parse_tombstone(form: Form) -> tuple[str, Tombstone]:
    """Return the fingerprint of the call that wrote a tombstone, and the tombstone."""
    written = datetime.fromisoformat(form["time"]) if "time" in form else None
    return form["fingerprint"], Tombstone(tuple(form["encounter_ids"]), form["revision"], written)
