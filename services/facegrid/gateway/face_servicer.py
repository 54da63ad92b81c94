"""FaceService: photographs alone, nothing stored."""

from typing import Any

import grpc

from facegrid.domain.matching import is_match
from facegrid.gateway import convert
from facegrid.identity.compare import Compare
from facegrid.identity.extract import Extract, ExtractedFace
from facegrid.v1 import face_service_pb2 as pb
from facegrid.v1 import types_pb2
from facegrid.v1.face_service_pb2_grpc import FaceServiceServicer

# ruff: noqa: N802  # methods have the API's names
_Context = grpc.aio.ServicerContext[Any, Any]


class FaceServicer(FaceServiceServicer):
    """Detect, Extract and Compare."""

    def __init__(self, extract: Extract, compare: Compare) -> None:
        """Take the use cases."""
        self._extract, self._compare = extract, compare

    async def Detect(self, request: pb.DetectRequest, context: _Context) -> pb.DetectResponse:
        """Find the faces of a photograph."""
        convert.call_of(request, context)
        detection = await self._extract.detect(
            request.photograph, request.pack, convert.detection_of(request.detection)
        )
        return pb.DetectResponse(
            width=detection.width, height=detection.height, faces=convert.faces_to_proto(detection.faces)
        )

    async def Extract(self, request: pb.ExtractRequest, context: _Context) -> pb.ExtractResponse:
        """Make templates."""
        convert.call_of(request, context)
        pack = self._extract.pack(request.pack)
        selection = convert.selection_of(request.faces)
        detection = convert.detection_of(request.detection)
        extraction = await self._extract.from_source(
            request.photograph, pack, selection, "photograph", detection
        )
        return pb.ExtractResponse(faces=[_extracted(face) for face in extraction.faces])

    async def Compare(self, request: pb.CompareRequest, context: _Context) -> pb.CompareResponse:
        """Score two samples."""
        convert.call_of(request, context)
        comparison = await self._compare(
            convert.source_of(request.first, "first"),
            convert.source_of(request.second, "second"),
            convert.selection_of(request.faces),
            request.pack,
            convert.detection_of(request.detection),
        )
        return pb.CompareResponse(
            score=comparison.score,
            decision=convert.decision_to_proto(is_match(comparison.score, comparison.threshold)),
            threshold=convert.threshold_to_proto(comparison.threshold),
            template_version=comparison.first.template.version,
            first_face=_face(comparison.first),
            second_face=_face(comparison.second),
        )


def _extracted(extracted: ExtractedFace) -> pb.ExtractedFace:
    return pb.ExtractedFace(face=_face(extracted), template=convert.template_to_proto(extracted.template))


def _face(extracted: ExtractedFace) -> types_pb2.DetectedFace | None:
    return convert.face_to_proto(extracted.face) if extracted.face else None
