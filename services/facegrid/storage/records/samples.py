"""The samples of encounters that are objects: photographs and templates beside the marks."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from facegrid.domain.faces import Floats
from facegrid.domain.galleries import Encounter
from facegrid.storage.objects.forms import to_json
from facegrid.storage.objects.store import ObjectStore, UnreadableObject
from facegrid.storage.records.codec import subject_form
from facegrid.storage.records.layout import GalleryLayout, encounter_prefix


class Samples:
    """The samples of one gallery; each method blocks."""

    def __init__(self, store: ObjectStore, layout: GalleryLayout) -> None:
        """Take the store and the gallery's keys."""
        self._store, self._layout = store, layout

    def writes(self, encounter: Encounter, photographs: Sequence[bytes | None]) -> list[Callable[[], object]]:
        """Return the writes that come before an encounter's mark, in any order or at once."""
        prefix = self._layout.subject(encounter.subject_id)
        writes: list[Callable[[], object]] = [
            partial(self._store.put_if_absent, f"{prefix}subject.json", to_json(subject_form(encounter)))
        ]
        for number, (sample, photograph) in enumerate(zip(encounter.samples, photographs, strict=True)):
            template = _template_key(prefix, encounter.encounter_id, number, sample.template.version)
            writes.append(partial(self._store.put, template, sample.template.to_bytes()))
            if photograph is not None:
                source = self._layout.photograph(encounter.subject_id, encounter.encounter_id, number)
                writes.append(partial(self._store.put, source, photograph))
        return writes

    def vectors(self, prefix: str, encounter: Encounter) -> list[Floats]:
        """Read the templates of an encounter below its subject's prefix. Raises ObjectMissing."""
        keys = [
            _template_key(prefix, encounter.encounter_id, number, sample.template.version)
            for number, sample in enumerate(encounter.samples)
        ]
        return [self._vector(key) for key in keys]

    def _vector(self, key: str) -> Floats:
        data = self._store.get(key)
        if len(data) != 4 * self._layout.gallery.dimension:
            raise UnreadableObject(f"the object {key} is damaged; restore it from a backup")
        return np.frombuffer(data, "<f4").astype(np.float32)


def _template_key(subject: str, encounter_id: str, number: int, version: str) -> str:
    return f"{encounter_prefix(subject, encounter_id)}{number}/templates/{version}"
