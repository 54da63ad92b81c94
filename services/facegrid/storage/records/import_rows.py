"""Rows of encounters that come column by column: a million are made in seconds, and read as any others."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from facegrid.domain.calls import Call
from facegrid.domain.columns import TemplateColumns
from facegrid.domain.faces import Floats
from facegrid.domain.galleries import Encounter, Sample
from facegrid.domain.labels import NO_LABELS, Labels
from facegrid.domain.templates import Template
from facegrid.storage.objects.forms import to_json
from facegrid.storage.records.codec import encounter_form, labels_form, subject_form
from facegrid.storage.records.columns import SCHEMA, array_of, vectors_of
from facegrid.storage.records.layout import GalleryLayout

_SLOT = re.compile(r'"\\u0000(\w+)"')  # no text that a client sends has this character


class ImportRows:
    """Makes the rows of one import; their ids are half of the import's and a number."""

    def __init__(self, layout: GalleryLayout, call: Call, revision: int) -> None:
        """Take the gallery's keys, the call, and the revision that the rows state."""
        self._layout, self._revision = layout, revision
        self.name = layout.request(call)
        self.prefix = bytes.fromhex(self.name)[:8]
        self.sids = bytearray()  # the hashes of all subjects so far, 16 bytes each
        self._number = 0
        self._record, self._sample = _blanks(layout.gallery.template_version, call, revision)

    def table(self, columns: TemplateColumns) -> pa.Table:
        """Return the rows of encounters, an encounter each."""
        count = len(columns.subject_ids)
        ids, sids = self._ids(count), [bytes.fromhex(self._layout.sid(one)) for one in columns.subject_ids]
        self.sids += b"".join(sids)
        distinct = {id(one): one for one in columns.labels}
        labels = {key: _labels_text(one) for key, one in distinct.items()}
        values: dict[str, Any] = {
            "id": [ids[start : start + 16] for start in range(0, 16 * count, 16)],
            "sid": sids,
            "subject_id": columns.subject_ids,
            "revision": [self._revision] * count,
            "labels": [None if one is NO_LABELS else labels[id(one)].stored for one in columns.labels],
            "record": list(self._records(columns, ids.hex(), labels)),
        }
        arrays = [array_of(field.type, values[field.name]) for field in SCHEMA if field.name in values]
        vectors = vectors_of(columns.vectors, columns.sample_counts)
        return pa.Table.from_arrays([*arrays, vectors], schema=SCHEMA)

    def _ids(self, count: int) -> bytes:
        numbers = np.arange(self._number, self._number + count, dtype=">u8")
        self._number += count
        ids = np.empty((count, 16), np.uint8)
        ids[:, :8], ids[:, 8:] = np.frombuffer(self.prefix, np.uint8), numbers.view(np.uint8).reshape(-1, 8)
        return ids.tobytes()

    def _records(
        self, columns: TemplateColumns, ids: str, labels: "Mapping[int, _LabelsText]"
    ) -> Iterator[bytes]:
        samples = list(self._samples(columns.vectors, columns.norms))
        rows = zip(columns.subject_ids, columns.labels, columns.samples(), strict=True)
        for number, (subject_id, one, part) in enumerate(rows):
            yield self._record.fill(
                encounter=f'"{ids[32 * number : 32 * number + 32]}"',
                subject=f'"{subject_id}"',
                labels=labels[id(one)].form,
                samples=f"[{', '.join(samples[part])}]",
            ).encode()

    def _samples(self, vectors: Floats, norms: Floats) -> Iterator[str]:
        data = np.ascontiguousarray(vectors, "<f4").view(np.uint8)
        for row, norm in zip(data, norms.tolist(), strict=True):
            digest = hashlib.sha256(row).hexdigest()
            yield self._sample.fill(sha256=f'"{digest}"', norm=repr(norm))


@dataclass(frozen=True, slots=True)
class _LabelsText:
    stored: str
    form: str


def _labels_text(labels: Labels) -> _LabelsText:
    form = labels_form(labels)
    return _LabelsText(to_json(form).decode(), json.dumps(form))


class _Blank:
    """A JSON text with slots, so that what is the same in all records is written once."""

    def __init__(self, form: Mapping[str, Any]) -> None:
        """Take a form in which slots are strings that begin with NUL."""
        self._pieces = _SLOT.split(json.dumps(form))

    def fill(self, **slots: str) -> str:
        """Return the text with JSON values in its slots."""
        pieces = self._pieces[:]
        pieces[1::2] = [slots[name] for name in pieces[1::2]]
        return "".join(pieces)


def _blanks(version: str, call: Call, revision: int) -> tuple[_Blank, _Blank]:
    """Return the codec's form of an import's encounter, and that of a sample."""
    template = Template(version, np.empty(0, np.float32))
    encounter = Encounter(
        encounter_id="\0encounter",
        subject_id="\0subject",
        samples=(Sample("\0sha256", None, template, photograph_kept=False),),
        created=datetime.now(UTC),
        revision=revision,
        request_id=call.request_id,
        actor=call.end_user,
    )
    form = encounter_form(encounter)
    sample = {**form["samples"][0], "norm": "\0norm"}
    record = {
        "encounter": {**form, "labels": "\0labels", "samples": "\0samples"},
        "subject": subject_form(encounter),
        "claim": None,
    }
    return _Blank(json.loads(to_json(record))), _Blank(sample)
