"""BulkService: whole galleries in and out."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any

import grpc

from facegrid.domain.columns import SentColumns
from facegrid.domain.errors import InvalidField
from facegrid.domain.galleries import Encounter
from facegrid.domain.labels import Labels
from facegrid.domain.revisions import revision_token
from facegrid.gateway import convert
from facegrid.gateway.convert_labels import labels_of
from facegrid.gateway.gallery_servicer import encounter_to_proto
from facegrid.identity.bulk_export import ExportedPhotograph, ExportTemplates
from facegrid.identity.bulk_import import ImportProgress, ImportTemplates
from facegrid.v1 import bulk_service_pb2 as pb
from facegrid.v1.bulk_service_pb2_grpc import BulkServiceServicer

# ruff: noqa: N802  # methods have the API's names
_Context = grpc.aio.ServicerContext[Any, Any]
_ANSWER_BYTES = 1024 * 1024


class BulkServicer(BulkServiceServicer):
    """ImportTemplates and ExportTemplates."""

    def __init__(self, import_templates: ImportTemplates, export_templates: ExportTemplates) -> None:
        """Take the use cases."""
        self._import, self._export = import_templates, export_templates

    async def ImportTemplates(
        self, requests: AsyncIterator[pb.ImportTemplatesRequest], context: _Context
    ) -> AsyncGenerator[pb.ImportTemplatesResponse]:
        """Store encounters of templates."""
        first = await anext(requests, None)
        if first is None:
            raise InvalidField("no message was sent; the first names the gallery", field="gallery")
        call = convert.call_of(first, context)
        columns = _columns(first, requests)
        async with aclosing(self._import(call, first.gallery, first.template_version, columns)) as importing:
            async for progress in importing:
                yield _progress_to_proto(progress)

    async def ExportTemplates(
        self, request: pb.ExportTemplatesRequest, context: _Context
    ) -> AsyncGenerator[pb.ExportTemplatesResponse]:
        """Send a gallery's encounters."""
        convert.call_of(request, context)
        answer, size = pb.ExportTemplatesResponse(), 0
        exported = self._export(request.gallery, request.page_token, photographs=request.include_photographs)
        async for one in exported:
            match one:
                case Encounter():
                    answer.encounters.append(_exported(one))
                    size += sum(sample.template.vector.nbytes for sample in one.samples)
                case ExportedPhotograph():
                    answer.photograph.CopyFrom(_photograph_to_proto(one))
                case str():
                    answer.next_page_token = one
            if size >= _ANSWER_BYTES or not isinstance(one, Encounter):
                yield answer
                answer, size = pb.ExportTemplatesResponse(), 0


async def _columns(
    first: pb.ImportTemplatesRequest, others: AsyncIterator[pb.ImportTemplatesRequest]
) -> AsyncIterator[SentColumns]:
    """Yield what the messages hold. Raises InvalidField where the last one is missing."""
    yield _sent(first, 0)
    encounters, templates, total = len(first.subject_ids), _templates(first), first.total
    async for request in others:
        yield _sent(request, encounters)
        encounters, templates = encounters + len(request.subject_ids), templates + _templates(request)
        total = request.total
    if total != templates:
        raise InvalidField(
            f"the last message states a total of {total} templates and {templates} were sent; the stream "
            "broke off, or its total is wrong",
            field="total",
        )


def _templates(request: pb.ImportTemplatesRequest) -> int:
    return sum(request.sample_counts) or len(request.subject_ids)


def _sent(request: pb.ImportTemplatesRequest, first: int) -> SentColumns:
    return SentColumns(
        first,
        list(request.subject_ids),
        _labels(request.labels),
        list(request.sample_counts),
        request.vectors,
        list(request.norms),
    )


def _labels(sent: Iterable[pb.EncounterLabels]) -> list[Labels]:
    return [labels_of(one.metadata, one.sub_galleries, one.status) for one in sent]


def _progress_to_proto(progress: ImportProgress) -> pb.ImportTemplatesResponse:
    return pb.ImportTemplatesResponse(
        received=progress.received,
        searchable=progress.searchable,
        revision=revision_token(progress.gallery.gallery_id, progress.revision) if progress.revision else "",
        repeated=progress.repeated,
    )


def _exported(encounter: Encounter) -> pb.ExportedEncounter:
    return pb.ExportedEncounter(
        subject_id=encounter.subject_id,
        encounter=encounter_to_proto(encounter),
        vectors=b"".join(sample.template.to_bytes() for sample in encounter.samples),
        norms=[sample.template.norm for sample in encounter.samples],
    )


def _photograph_to_proto(exported: ExportedPhotograph) -> pb.ExportedPhotograph:
    return pb.ExportedPhotograph(
        subject_id=exported.encounter.subject_id,
        encounter_id=exported.encounter.encounter_id,
        sample=exported.sample,
        photograph=exported.photograph,
    )
