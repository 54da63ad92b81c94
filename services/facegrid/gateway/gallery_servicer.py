"""GalleryService: galleries and what stands in them."""

from dataclasses import replace
from typing import Any

import grpc

from facegrid.domain.errors import InvalidField
from facegrid.domain.galleries import Encounter, Gallery, Sample, Subject
from facegrid.domain.revisions import revision_token
from facegrid.gateway import convert
from facegrid.gateway.access import AccessControl
from facegrid.gateway.convert_labels import labels_of, metadata_to_proto, status_of, status_to_proto
from facegrid.identity.galleries import Galleries, GalleryStatus
from facegrid.identity.subjects import Subjects
from facegrid.identity.update import Update
from facegrid.v1 import gallery_service_pb2 as pb
from facegrid.v1 import types_pb2
from facegrid.v1.gallery_service_pb2_grpc import GalleryServiceServicer

# ruff: noqa: N802  # methods have the API's names
_Context = grpc.aio.ServicerContext[Any, Any]


class GalleryServicer(GalleryServiceServicer):
    """Galleries, subjects and encounters."""

    def __init__(
        self, galleries: Galleries, subjects: Subjects, update: Update, access: AccessControl | None = None
    ) -> None:
        """Take the use cases, and what knows which galleries a caller may read of."""
        self._galleries, self._subjects, self._update = galleries, subjects, update
        self._access = access

    async def CreateGallery(
        self, request: pb.CreateGalleryRequest, context: _Context
    ) -> pb.CreateGalleryResponse:
        """Make a gallery."""
        status = await self._galleries.create(
            convert.mutation_of(request, context),
            request.name,
            pack_name=request.pack,
            verify_threshold=convert.number_of(request, "verify_threshold"),
            identify_threshold=convert.number_of(request, "identify_threshold"),
            keep_photographs=request.keep_photographs if request.HasField("keep_photographs") else True,
            quality_rules=convert.quality_rules_of(request.quality_rules),
            attributes=convert.attributes_of(request.attributes),
            index=convert.index_of(request.index),
        )
        return pb.CreateGalleryResponse(gallery=_status_to_proto(status))

    async def GetGallery(self, request: pb.GetGalleryRequest, context: _Context) -> pb.GetGalleryResponse:
        """Describe a gallery."""
        status = await self._galleries.get_status(convert.call_of(request, context), request.name)
        return pb.GetGalleryResponse(gallery=_status_to_proto(status))

    async def ListGalleries(
        self, request: pb.ListGalleriesRequest, context: _Context
    ) -> pb.ListGalleriesResponse:
        """List galleries."""
        convert.call_of(request, context)
        sees = [await self._access.reads(context, request.context.purpose)] if self._access else []
        page, token = await self._galleries.list(request.page_size, request.page_token, *sees)
        return pb.ListGalleriesResponse(
            galleries=[_gallery_to_proto(gallery) for gallery in page], next_page_token=token
        )

    async def DeleteGallery(
        self, request: pb.DeleteGalleryRequest, context: _Context
    ) -> pb.DeleteGalleryResponse:
        """Remove a gallery."""
        await self._galleries.delete(convert.mutation_of(request, context), request.name)
        return pb.DeleteGalleryResponse()

    async def GetSubject(self, request: pb.GetSubjectRequest, context: _Context) -> pb.GetSubjectResponse:
        """Describe a subject."""
        convert.call_of(request, context)
        subject = await self._subjects.get(request.gallery, request.subject_id)
        return pb.GetSubjectResponse(subject=_subject_to_proto(subject))

    async def ListSubjects(
        self, request: pb.ListSubjectsRequest, context: _Context
    ) -> pb.ListSubjectsResponse:
        """List subjects."""
        convert.call_of(request, context)
        page, token = await self._subjects.list(request.gallery, request.page_size, request.page_token)
        return pb.ListSubjectsResponse(
            subjects=[_subject_to_proto(subject) for subject in page], next_page_token=token
        )

    async def UpdateSubject(
        self, request: pb.UpdateSubjectRequest, context: _Context
    ) -> pb.UpdateSubjectResponse:
        """Change a subject's status."""
        if not request.status:
            raise InvalidField("status is missing; send ACTIVE or INACTIVE", field="status")
        call, status = convert.mutation_of(request, context), status_of(request.status)
        gallery, subject, revision = await self._update.subject(
            call, request.gallery, request.subject_id, status
        )
        return pb.UpdateSubjectResponse(
            subject=_subject_to_proto(replace(subject, encounters=())),
            revision=revision_token(gallery.gallery_id, revision),
        )

    async def UpdateEncounter(
        self, request: pb.UpdateEncounterRequest, context: _Context
    ) -> pb.UpdateEncounterResponse:
        """Change labels of an encounter."""
        gallery, encounter, revision = await self._update.encounter(
            convert.mutation_of(request, context),
            request.gallery,
            request.subject_id,
            request.encounter_id,
            labels=labels_of(request.metadata, request.sub_galleries, request.status),
            fields=request.update_mask.paths,
        )
        return pb.UpdateEncounterResponse(
            encounter=encounter_to_proto(encounter), revision=revision_token(gallery.gallery_id, revision)
        )

    async def DeleteSubject(
        self, request: pb.DeleteSubjectRequest, context: _Context
    ) -> pb.DeleteSubjectResponse:
        """Remove a subject."""
        call = convert.mutation_of(request, context)
        gallery, revision = await self._subjects.delete(call, request.gallery, request.subject_id)
        return pb.DeleteSubjectResponse(revision=revision_token(gallery.gallery_id, revision))

    async def DeleteEncounter(
        self, request: pb.DeleteEncounterRequest, context: _Context
    ) -> pb.DeleteEncounterResponse:
        """Remove an encounter."""
        gallery, revision = await self._subjects.delete_encounter(
            convert.mutation_of(request, context), request.gallery, request.subject_id, request.encounter_id
        )
        return pb.DeleteEncounterResponse(revision=revision_token(gallery.gallery_id, revision))


def encounter_to_proto(encounter: Encounter) -> types_pb2.Encounter:
    """Return an encounter as clients see it."""
    return types_pb2.Encounter(
        encounter_id=encounter.encounter_id,
        samples=[_sample_to_proto(sample) for sample in encounter.samples],
        create_time=convert.time_to_proto(encounter.created),
        metadata=metadata_to_proto(encounter.labels.metadata),
        sub_galleries=encounter.labels.sub_galleries,
        status=status_to_proto(encounter.labels.status),
    )


def _gallery_to_proto(gallery: Gallery) -> types_pb2.Gallery:
    return types_pb2.Gallery(
        name=gallery.name,
        pack=gallery.pack,
        template_version=gallery.template_version,
        verify_threshold=convert.threshold_to_proto(gallery.thresholds.verify),
        identify_threshold=convert.threshold_to_proto(gallery.thresholds.identify),
        keep_photographs=gallery.keep_photographs,
        create_time=convert.time_to_proto(gallery.created),
        quality_rules=[
            types_pb2.QualityRule(measure=rule.measure, **rule.limits) for rule in gallery.quality_rules
        ],
        attributes=convert.attributes_to_proto(gallery.attributes),
        index=convert.index_to_proto(gallery.index),
        migration=convert.migration_state_to_proto(gallery.migration.state if gallery.migration else None),
    )


def _status_to_proto(status: GalleryStatus) -> types_pb2.Gallery:
    gallery = _gallery_to_proto(status.gallery)
    gallery.subject_count = status.subject_count
    gallery.revision = revision_token(status.gallery.gallery_id, status.revision)
    return gallery


def _subject_to_proto(subject: Subject) -> types_pb2.Subject:
    return types_pb2.Subject(
        subject_id=subject.subject_id,
        create_time=convert.time_to_proto(subject.created),
        encounters=[encounter_to_proto(encounter) for encounter in subject.encounters],
        status=status_to_proto(subject.status),
    )


def _sample_to_proto(sample: Sample) -> types_pb2.StoredSample:
    return types_pb2.StoredSample(
        sha256=sample.sha256,
        face=convert.face_to_proto(sample.face) if sample.face else None,
        photograph_kept=sample.photograph_kept,
        template_versions=[sample.template.version],
    )
