"""Templates that exist already, written as segments: all of them become visible in one step, or none does."""

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

from facegrid.domain.calls import Call
from facegrid.domain.errors import StoreUnavailable
from facegrid.domain.faces import Floats
from facegrid.domain.galleries import Encounter, Gallery, Sample
from facegrid.domain.templates import Template
from facegrid.storage.records.codec import subject_form
from facegrid.storage.records.columns import columns_of
from facegrid.storage.records.compaction import encounter_row
from facegrid.storage.records.subjects import StoredSubjects


@dataclass(frozen=True, slots=True)
class Columns:
    """N templates: their subjects, float32 vectors (N, dimension), normalised, and norms (N,)."""

    subject_ids: Sequence[str]
    vectors: Floats = field(repr=False)
    norms: Floats = field(repr=False)


def write_columns(subjects: StoredSubjects, call: Call, revision: int, batches: Iterable[Columns]) -> None:
    """Add an encounter of one sample for each template; the retry of a call that succeeded adds none.

    A batch is held in memory and becomes one segment or more. Raises StoreUnavailable where another server
    changes the segments at the same time.
    """
    gallery, segments = subjects.gallery, subjects.segments
    with segments.writing:
        segments.reload()
        if _encounter_id(gallery, call, 0) in segments:
            return
        files = [segment.file for segment in segments.view.segments]
        numbers = count()
        for batch in batches:
            encounters = _encounters(gallery, call, revision, batch, numbers)
            rows = [encounter_row(subjects.layout, one, subject_form(one), None) for one in encounters]
            files += segments.write(columns_of(rows))
        if not segments.publish(files, 0):
            raise StoreUnavailable("another server writes to the gallery; retry")


def _encounters(
    gallery: Gallery, call: Call, revision: int, batch: Columns, numbers: Iterator[int]
) -> Iterator[Encounter]:
    created = datetime.now(UTC)
    columns = zip(batch.subject_ids, batch.vectors, batch.norms.tolist(), strict=True)
    for subject_id, vector, norm in columns:
        template = Template(gallery.template_version, vector, norm)
        digest = hashlib.sha256(template.to_bytes()).hexdigest()
        yield Encounter(
            encounter_id=_encounter_id(gallery, call, next(numbers)),
            subject_id=subject_id,
            samples=(Sample(digest, None, template, photograph_kept=False),),
            created=created,
            revision=revision,
            request_id=call.request_id,
            actor=call.end_user,
        )


def _encounter_id(gallery: Gallery, call: Call, number: int) -> str:
    message = f"{call.method}|{call.request_id}|{number}".encode()
    return hmac.new(gallery.key, message, hashlib.sha256).hexdigest()[:32]
