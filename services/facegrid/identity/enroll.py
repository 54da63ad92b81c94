"""Enrol: samples of one person become an encounter of a subject, all or none."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from functools import partial

from facegrid.domain.calls import Call
from facegrid.domain.detection import SERVER_DEFAULT, DetectionOptions
from facegrid.domain.errors import (
    ConfigurationError,
    EncounterDeleted,
    FacegridError,
    SubjectExists,
)
from facegrid.domain.faces import FaceSelection
from facegrid.domain.galleries import Encounter, Gallery, Sample, Subject
from facegrid.domain.labels import NO_LABELS, Labels, check_labels
from facegrid.domain.names import check_name
from facegrid.domain.quality import check_quality
from facegrid.identity.extract import Extract, Extraction, Source, one_face_only
from facegrid.identity.galleries import Galleries
from facegrid.identity.ports import Claim, Records
from facegrid.identity.projection import Projection
from facegrid.identity.twins import Faces, Twins
from facegrid.identity.writes import Writes


class EnrollMode(Enum):
    """What to do with a subject that is there."""

    CREATE = "create"
    ADD = "add"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The encounter that an enrolment stored, now or at an earlier try."""

    gallery: Gallery
    encounter: Encounter


class Enroll:
    """Stores encounters."""

    def __init__(
        self,
        galleries: Galleries,
        extract: Extract,
        records: Records,
        projection: Projection,
        writes: Writes,
        *,
        twins: Twins,
    ) -> None:
        """Take the galleries, the extraction, the records, the projection, the writes and the twins."""
        self._galleries, self._extract, self._records = galleries, extract, records
        self._projection, self._writes, self._twins = projection, writes, twins

    async def __call__(
        self,
        call: Call,
        gallery_name: str,
        *,
        subject_id: str,
        mode: EnrollMode,
        samples: Sequence[Source],
        selection: FaceSelection,
        detection: DetectionOptions = SERVER_DEFAULT,
        labels: Labels = NO_LABELS,
    ) -> Enrolled:
        """Store one encounter; it is durable and searched when this returns.

        Raises QualityTooLow, SubjectExists, RequestIdReused, EncounterDeleted and the errors of extraction.
        """
        if subject_id:
            check_name(subject_id, "subject_id")
        check_labels(labels)
        gallery, pack = await self._galleries.get_with_pack(gallery_name)
        selection = one_face_only(selection)
        extractions = await self._extract.from_sources(samples, pack, selection, "samples", detection)
        prepared = await self._twins.prepare(gallery, extractions)
        await self._twins.ready(gallery, call.deadline)
        subject_id = subject_id or _keyed_hash(gallery, "subject", call)
        enrolment = _Enrolment(subject_id, mode, extractions, labels, prepared)
        return await self._writes.finish(partial(self._commit, call, gallery, enrolment), call.deadline)

    async def _commit(self, call: Call, gallery: Gallery, enrolment: "_Enrolment") -> Enrolled:
        try:
            return await self._write(call, gallery, enrolment)
        except (FacegridError, ConfigurationError):
            if not self._projection.is_dropped(gallery):
                raise
        await self._galleries.erase_remains(gallery)
        raise self._projection.gone(gallery)

    async def _write(self, call: Call, gallery: Gallery, enrolment: "_Enrolment") -> Enrolled:
        encounter_id, subject_id = _keyed_hash(gallery, "encounter", call), enrolment.subject_id
        async with self._writes.hold(gallery, subject_id):
            await self._projection.settle(gallery, subject_id)
            claim = await self._records.find_claim(gallery, encounter_id, call)
            subject = await self._records.subject(gallery, subject_id)
            encounter = _find(subject, encounter_id)
            if encounter is None:
                _check_mode(claim, enrolment.mode, subject, subject_id)
                _check_samples(gallery, enrolment.extractions)
                await self._records.claim(gallery, subject_id, encounter_id, call)
                enrolment = replace(enrolment, labels=_labels(enrolment.labels, subject))
                replaces = enrolment.mode is EnrollMode.REPLACE
                replaced = await self._twins.encounter_ids(gallery, subject_id) if replaces else ()
                encounter = await self._add(call, gallery, enrolment, encounter_id, replaced)
            else:
                await self._projection.add(gallery, encounter)
            await self._records.erase(gallery, subject_id, encounter.replaces)
            await self._twins.follow(gallery, subject_id, encounter_id, enrolment.prepared)
            return Enrolled(gallery, encounter)

    async def _add(
        self,
        call: Call,
        gallery: Gallery,
        enrolment: "_Enrolment",
        encounter_id: str,
        replaced: tuple[str, ...],
    ) -> Encounter:
        with self._projection.revise(gallery) as revision:
            encounter = Encounter(
                encounter_id=encounter_id,
                subject_id=enrolment.subject_id,
                samples=tuple(_sample(extraction, gallery) for extraction in enrolment.extractions),
                created=datetime.now(UTC),
                revision=revision,
                request_id=call.request_id,
                actor=call.end_user,
                replaces=replaced,
                labels=enrolment.labels,
            )
            photographs = [
                one.photograph if gallery.keep_photographs else None for one in enrolment.extractions
            ]
            await self._records.commit(gallery, encounter, photographs)
            await self._projection.add(gallery, encounter)
        return encounter


@dataclass(frozen=True, slots=True)
class _Enrolment:
    """What is to be stored, and how."""

    subject_id: str
    mode: EnrollMode
    extractions: list[Extraction]
    labels: Labels
    prepared: Faces | None


def _keyed_hash(gallery: Gallery, kind: str, call: Call) -> str:
    message = f"{kind}|{call.method}|{call.request_id}".encode()
    return hmac.new(gallery.key, message, hashlib.sha256).hexdigest()[:32]


def _find(subject: Subject | None, encounter_id: str) -> Encounter | None:
    encounters = subject.encounters if subject else ()
    return next((one for one in encounters if one.encounter_id == encounter_id), None)


def _check_mode(claim: Claim, mode: EnrollMode, subject: Subject | None, subject_id: str) -> None:
    if claim is Claim.DELETED:
        raise EncounterDeleted(
            "the encounter of this request id was deleted; to enrol the person again, send a new request id",
            field="context.request_id",
        )
    if mode is EnrollMode.CREATE and subject:
        raise SubjectExists(
            f"subject {subject_id} exists; use mode ADD for another encounter, REPLACE for a new start",
            field="subject_id",
        )


def _check_samples(gallery: Gallery, extractions: list[Extraction]) -> None:
    for place, extraction in enumerate(extractions):
        check_quality(extraction.faces[0].face, gallery.quality_rules, f"samples[{place}]")


def _labels(labels: Labels, subject: Subject | None) -> Labels:
    """Give an encounter the status of its subject as well."""
    return replace(labels, subject_status=subject.status) if subject else labels


def _sample(extraction: Extraction, gallery: Gallery) -> Sample:
    (face,) = extraction.faces
    photograph = extraction.photograph
    digest = hashlib.sha256(face.template.to_bytes() if photograph is None else photograph).hexdigest()
    return Sample(digest, face.face, face.template, gallery.keep_photographs and photograph is not None)
