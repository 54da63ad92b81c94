"""FaceService: photographs alone, nothing stored."""

from dataclasses import asdict
from typing import Any

import grpc

from facegrid.domain.attributes import FaceAttributes
from facegrid.domain.matching import is_match
from facegrid.gateway import convert
from facegrid.gateway.convert_extracted import extracted_to_proto
from facegrid.identity.analyze import Analyze
from facegrid.identity.compare import Compare
from facegrid.identity.extract import Extract, ExtractedFace
from facegrid.v1 import face_service_pb2 as pb
from facegrid.v1 import types_pb2
from facegrid.v1.face_service_pb2_grpc import FaceServiceServicer

# ruff: noqa: N802  # methods have the API's names
_Context = grpc.aio.ServicerContext[Any, Any]


class FaceServicer(FaceServiceServicer):
    """Detect, Extract, Compare and Analyze."""

    def __init__(self, extract: Extract, compare: Compare, analyze: Analyze) -> None:
        """Take the use cases."""
        self._extract, self._compare, self._analyze = extract, compare, analyze

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
        return pb.ExtractResponse(faces=[extracted_to_proto(face) for face in extraction.faces])

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

    async def Analyze(self, request: pb.AnalyzeRequest, context: _Context) -> pb.AnalyzeResponse:
        """Read attributes."""
        convert.call_of(request, context)
        faces = await self._analyze(
            request.photograph,
            convert.attributes_of(request.attributes),
            convert.selection_of(request.faces),
            pack_name=request.pack,
            gallery_name=request.gallery,
            detection=convert.detection_of(request.detection),
        )
        return pb.AnalyzeResponse(
            faces=[
                pb.AnalyzedFace(face=convert.face_to_proto(one.face), attributes=_attributes(one.attributes))
                for one in faces
            ]
        )


def _attributes(read: FaceAttributes) -> pb.FaceAttributes:
    presentation, flat, deep = read.gender_presentation, read.landmarks_106, read.landmarks_68
    return pb.FaceAttributes(
        age=read.age,
        gender_presentation=pb.GenderPresentation(**asdict(presentation)) if presentation else None,
        pose=pb.Pose(**asdict(read.pose)) if read.pose else None,
        landmarks_106=[] if flat is None else [types_pb2.Point(x=x, y=y) for x, y in flat],
        landmarks_68=[] if deep is None else [pb.SpacePoint(x=x, y=y, z=z) for x, y, z in deep],
        mask=read.mask,
    )


def _face(extracted: ExtractedFace) -> types_pb2.DetectedFace | None:
    return convert.face_to_proto(extracted.face) if extracted.face else None
