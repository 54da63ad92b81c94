"""Values and stores that the tests of storage share."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from facegrid.domain.attributes import Attribute
from facegrid.domain.calls import Call
from facegrid.domain.faces import Box, DetectedFace, QualityMeasure
from facegrid.domain.galleries import Encounter, Gallery, Sample
from facegrid.domain.packs import Threshold, Thresholds, ThresholdSource
from facegrid.domain.quality import QualityRule
from facegrid.domain.templates import Template
from facegrid.identity.writes import Writes
from facegrid.storage.objects.store import ObjectMissing, ObjectStore
from facegrid.storage.records.records import StoredRecords

DIMENSION, VERSION = 8, "open-1.0"


class PowerCut(Exception):
    """The process ends here."""


class DyingStore:
    """A store whose process dies before the write after the first `writes`; a prefix goes key by key."""

    def __init__(self, store: ObjectStore, writes: int) -> None:
        """Take the store and the number of writes that still succeed."""
        self._store, self._left = store, writes

    def get(self, key: str) -> bytes:
        """Read from the store."""
        self._check_alive()
        return self._store.get(key)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Read a part from the store."""
        self._check_alive()
        return self._store.get_range(key, start, length)

    def put(self, key: str, data: bytes) -> None:
        """Write to the store."""
        self._write()
        self._store.put(key, data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write to the store where the key is free."""
        self._write()
        return self._store.put_if_absent(key, data)

    def delete(self, key: str) -> None:
        """Remove from the store."""
        self._write()
        self._store.delete(key)

    def delete_prefix(self, prefix: str) -> None:
        """Remove one key after the other."""
        for key in list(self._store.keys(prefix)):
            self.delete(key)

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """List the store."""
        self._check_alive()
        return self._store.keys(prefix, after)

    def _check_alive(self) -> None:
        if self._left < 0:
            raise PowerCut

    def _write(self) -> None:
        self._left -= 1
        self._check_alive()


class MemoryStore:
    """A store that can be copied at once."""

    def __init__(self, objects: Mapping[str, bytes] | None = None) -> None:
        """Take the objects of another."""
        self.objects = dict(objects or {})

    def get(self, key: str) -> bytes:
        """Return an object."""
        if key not in self.objects:
            raise ObjectMissing(key)
        return self.objects[key]

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return part of an object."""
        return self.get(key)[start : start + length]

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""
        self.objects[key] = data

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write an object unless one is there."""
        return self.objects.setdefault(key, data) is data

    def delete(self, key: str) -> None:
        """Remove an object."""
        self.objects.pop(key, None)

    def delete_prefix(self, prefix: str) -> None:
        """Remove the objects below a prefix."""
        for key in list(self.keys(prefix)):
            self.delete(key)

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """List a prefix."""
        return iter(sorted(key for key in list(self.objects) if key.startswith(prefix) and key > after))


def make_gallery(name: str = "staff", gallery_id: str = "a1" * 16) -> Gallery:
    """Return a gallery with a key of its own."""
    return Gallery(
        name=name,
        gallery_id=gallery_id,
        pack="open",
        template_version=VERSION,
        dimension=DIMENSION,
        thresholds=Thresholds(
            Threshold(0.31, ThresholdSource.PACK_DEFAULT), Threshold(0.42, ThresholdSource.CALIBRATED)
        ),
        keep_photographs=True,
        created=datetime(2026, 1, 2, 3, 4, 5, 678, UTC),
        key=gallery_id.encode(),
        quality_rules=(QualityRule("yaw", -20.5, 20.5), QualityRule("sharpness", minimum=0.1)),
        attributes=(Attribute.POSE, Attribute.AGE),
    )


def make_encounter(number: int, subject_id: str = "jane", replaces: Sequence[str] = ()) -> Encounter:
    """Return an encounter of two samples, the first a photograph's and the second a template's."""
    face = DetectedFace(
        box=Box(1.5, -2.25, 100.125, 120.0),
        landmarks=np.random.default_rng(number).random((5, 2)).astype(np.float32),
        detection_score=0.987,
        quality=(QualityMeasure("sharpness", 12.5, 80.0, "laplacian"),),
    )
    return Encounter(
        encounter_id=f"{number:032x}",
        subject_id=subject_id,
        samples=(
            Sample("ab" * 32, face, make_template(number), photograph_kept=True),
            Sample("cd" * 32, None, make_template(number + 1000), photograph_kept=False),
        ),
        created=datetime(2026, 1, 2, tzinfo=UTC) + timedelta(seconds=number),
        revision=number,
        request_id=f"request-{number}",
        actor="clerk",
        replaces=tuple(replaces),
    )


def make_template(seed: int) -> Template:
    """Return a random template."""
    vector = np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
    return Template(VERSION, vector / np.linalg.norm(vector), norm=21.5)


def make_call(method: str, request_id: str, fingerprint: str = "payload") -> Call:
    """Return a call of the clerk's."""
    return Call(method, request_id, fingerprint, end_user="clerk")


async def enrol(records: StoredRecords, gallery: Gallery, *encounters: Encounter) -> None:
    """Commit encounters under their claims."""
    for encounter in encounters:
        await records.claim(
            gallery, encounter.subject_id, encounter.encounter_id, make_call("Enroll", encounter.request_id)
        )
        await records.commit(gallery, encounter, [b"photograph", None])


async def compact(records: StoredRecords, gallery: Gallery) -> None:
    """Compact, with nobody else about."""
    await records.compact(gallery, Writes(most=1).hold)


async def load(records: StoredRecords, gallery: Gallery) -> list[Encounter]:
    """Read all encounters."""
    return [one async for batch in records.encounters(gallery) for one in batch]
