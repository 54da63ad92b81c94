"""Compaction: small objects become rows of a segment, and hidden rows go."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from facegrid.domain.galleries import Encounter, Tombstone
from facegrid.domain.labels import NO_LABELS, Labels
from facegrid.storage.objects.forms import Form, decode, read, to_json
from facegrid.storage.objects.store import ObjectStore
from facegrid.storage.records.amendments import StoredAmendment, memory_form
from facegrid.storage.records.codec import encounter_form, labels_form, parse_labels
from facegrid.storage.records.columns import boolean, columns_of
from facegrid.storage.records.folders import subject_folder
from facegrid.storage.records.layout import GalleryLayout, encounter_prefix
from facegrid.storage.records.segment import Segment
from facegrid.storage.records.segment_files import SEGMENT_BYTES
from facegrid.storage.records.subjects import StoredSubjects

_MOST_SMALL = 4  # joined by one run
_MOST = 16_384  # claims and subjects a run: with two samples of 512 numbers each, 64 MiB of vectors

Row = dict[str, Any]


class Compaction:
    """One compaction of a gallery: `fold` each of `subject_ids`, `publish`, `tidy` each, `finish`.

    While a subject is folded or tidied nobody else may write to it. A crash at any point leaves every
    encounter visible once: before the manifest is published as its objects, from then on as its row.
    """

    def __init__(self, store: ObjectStore, subjects: StoredSubjects) -> None:
        """Read what there is to do."""
        self._store, self._subjects, self._layout = store, subjects, subjects.layout
        self._segments = subjects.segments
        self._segments.reload()
        claims = subjects.claims.stored()
        self._taken = subjects.loose - max(0, len(claims) - _MOST)
        self._claims = subjects.claims.forms(claims[:_MOST])
        self._tombstones = dict(self._settled())
        self._amendments = subjects.amendments.settled()
        self._rows = [*self._deleted_claims(), *self._deletions(), *self._changes()]
        self.subject_ids = list(islice(self._touched(), _MOST))

    def fold(self, subject_id: str) -> None:
        """Read the encounters of a subject that are objects."""
        folder = self._subjects.folder(subject_id)
        encounters = self._subjects.fill(folder, self._subjects.tidy(folder))
        if encounters:
            head = self._subjects.head_form(folder)
            self._subjects.folding.update(one.encounter_id for one in encounters)
            self._rows += [encounter_row(self._layout, one, head, self._claim(one)) for one in encounters]

    def publish(self) -> bool:
        """Write the segments and let them count; False where another manifest came first."""
        with self._segments.writing:
            found = self._segments.view.segments
            hidden = [one for one in found if one.hidden.any() or self._amended(one)]
            small = [one for one in found if _is_small(one)][:_MOST_SMALL]
            if not (self._rows or hidden or small[1:] or self._subjects.folding):
                return True
            large = [one for one in hidden if one not in small]
            kept = [one.file for one in found if one not in hidden and one not in small]
            rows = [columns_of(self._rows), *map(self._renewed, small)]
            parts = chain([pa.concat_tables(rows)], map(self._renewed, large))
            written = [file for part in parts for file in self._segments.write(part)]
            revisions = [one.revision for one in self._tombstones.values()]
            revisions += [one.amendment.revision for one in self._amendments]
            won = self._segments.publish([*kept, *written], max(revisions, default=0))
            self._subjects.folding.clear()
            return won

    def tidy(self, subject_id: str) -> None:
        """Remove the objects of a subject that have become rows."""
        self._subjects.tidy(self._subjects.folder(subject_id))

    def finish(self) -> None:
        """Remove the claims and amendments that are in rows, and the tombstones that hide none any more."""
        for encounter_id, claim in self._claims.items():
            if encounter_id in self._segments and self._is_gone(encounter_id, claim):
                self._subjects.claims.remove(encounter_id)
        for name, tombstone in self._tombstones.items():
            if not any(self._segments.sid(one) for one in tombstone.encounter_ids):
                self._store.delete(self._subjects.tombstones.key(name))
                self._segments.forget(tombstone.encounter_ids)
        for stored in self._amendments:
            if self._is_folded(stored):
                self._subjects.amendments.remove(stored)
        self._subjects.loose -= self._taken
        self._subjects.hidden_since = datetime.now(UTC) if self._segments.hides() else None

    def _settled(self) -> Iterator[tuple[str, Tombstone]]:
        for name, tombstone in self._subjects.tombstones.stored():
            if self._subjects.unsettled.isdisjoint(tombstone.encounter_ids):
                yield name, tombstone

    def _deleted_claims(self) -> Iterator[Row]:
        for encounter_id, claim in self._claims.items():
            if (
                claim["state"] == "deleted"
                and encounter_id not in self._segments
                and self._is_gone(encounter_id, claim)
            ):
                yield _memory(encounter_id, {"claim": claim})

    def _is_gone(self, encounter_id: str, claim: Form) -> bool:
        """Say whether no object is left but photographs of a row."""
        sid = claim.get("sid") or self._segments.sid(encounter_id)
        if sid is None:
            return True  # deleted by a release whose claims had no hash, and tidied when this one started
        keys = self._store.keys(encounter_prefix(f"{self._layout.subjects}{sid}/", encounter_id))
        kept = "/source" if self._segments.shows(encounter_id) else "/"
        return all(key.endswith(kept) for key in keys)

    def _deletions(self) -> Iterator[Row]:
        """Yield what the retry of a deletion is to be told; a replacement's tombstone only hides."""
        for name, tombstone in self._tombstones.items():
            if name not in tombstone.encounter_ids and name not in self._segments:
                form = read(self._store, self._subjects.tombstones.key(name), dict)
                yield _memory(name, {"tombstone": form})

    def _changes(self) -> Iterator[Row]:
        """Yield what the retry of an amendment is to be told."""
        for stored in self._amendments:
            if stored.name not in self._segments:
                yield _memory(stored.name, {"amendment": memory_form(stored)})

    def _is_folded(self, stored: StoredAmendment) -> bool:
        """Say whether no object is left that an amendment is about: then a row has it, or nothing."""
        prefix = f"{self._layout.subjects}{stored.sid}/"
        marked = subject_folder(prefix, self._store.keys(prefix)).committed
        return stored.target not in marked if stored.amendment.encounter_id else not marked

    def _amended(self, segment: Segment) -> list[int]:
        return segment.rows_of_any(*self._subjects.amendments.targets)

    def _renewed(self, segment: Segment) -> pa.Table:
        """Return the rows of a segment with the labels that they have now, of hidden ones their claims."""
        rows = segment.table()
        hidden, amended = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
        hidden[: len(segment.hidden)] = segment.hidden
        amended[self._amended(segment)] = True
        amended &= ~hidden
        if not (hidden | amended).any():
            return rows
        memories = [_deleted(segment, row) for row in rows.filter(boolean(hidden)).to_pylist()]
        changed = [self._with_labels(segment, row) for row in rows.filter(boolean(amended)).to_pylist()]
        return pa.concat_tables([rows.filter(boolean(~(hidden | amended))), columns_of(memories + changed)])

    def _with_labels(self, segment: Segment, row: Row) -> Row:
        form = decode(segment.file.key, row["record"], dict)
        encounter, one = form["encounter"], row["id"].hex()
        labels = self._subjects.amendments.labels(
            one, row["sid"].hex(), row["revision"], parse_labels(encounter["labels"])
        )
        record = {**form, "encounter": {**encounter, "labels": labels_form(labels)}}
        return {**row, **_memory(one, record), "labels": _labels_text(labels)}

    def _touched(self) -> Iterator[str]:
        for folder in self._subjects.touched(self._claims):
            subject = self._subjects.describe(folder, with_encounters=False) if folder.committed else None
            if subject:
                yield subject.subject_id

    def _claim(self, encounter: Encounter) -> Form | None:
        one = encounter.encounter_id
        return self._claims.get(one) or self._subjects.claims.forms([one]).get(one)


def encounter_row(layout: GalleryLayout, encounter: Encounter, head: Form, claim: Form | None) -> Row:
    """Return the row of an encounter; `head` is its subject's own form."""
    record = {"encounter": encounter_form(encounter), "subject": head, "claim": claim}
    return {
        **_memory(encounter.encounter_id, record),
        "sid": bytes.fromhex(layout.sid(encounter.subject_id)),
        "subject_id": encounter.subject_id,
        "revision": encounter.revision,
        "labels": _labels_text(encounter.labels),
        "vectors": b"".join(sample.template.to_bytes() for sample in encounter.samples),
    }


def _labels_text(labels: Labels) -> str | None:
    return None if labels == NO_LABELS else to_json(labels_form(labels)).decode()


def _memory(one: str, record: Form) -> Row:
    return {"id": bytes.fromhex(one), "record": to_json(record)}


def _is_small(segment: Segment) -> bool:
    return segment.file.size < SEGMENT_BYTES // 2


def _deleted(segment: Segment, row: Row) -> Row:
    claim = decode(segment.file.key, row["record"], itemgetter("claim"))
    return _memory(row["id"].hex(), {"claim": claim and {**claim, "state": "deleted"}})
