"""Between the API's faces with templates and those of the use cases, in both directions."""

import math

import numpy as np

from facegrid.domain.errors import InvalidField
from facegrid.domain.faces import Box, DetectedFace, QualityMeasure
from facegrid.domain.quality import MEASURES
from facegrid.domain.templates import SentFace
from facegrid.gateway import convert
from facegrid.identity.extract import ExtractedFace, Source
from facegrid.v1 import face_service_pb2 as face_pb
from facegrid.v1 import types_pb2 as pb
from facegrid.v1.identity_service_pb2 import EnrollRequest

_LANDMARKS = 5
_LONGEST_ALGORITHM = 64


def extracted_to_proto(extracted: ExtractedFace) -> face_pb.ExtractedFace:
    """Return a face and its template as clients see them."""
    return face_pb.ExtractedFace(
        face=convert.face_to_proto(extracted.face) if extracted.face else None,
        template=convert.template_to_proto(extracted.template),
    )


def samples_of(request: EnrollRequest) -> list[Source]:
    """Return what is to be enrolled. Raises InvalidField where `extracted` does not belong to the samples."""
    sources = convert.sources_of(request.samples, "samples")
    if not request.extracted:
        return [*sources]
    if len(request.extracted) != len(sources):
        raise InvalidField(
            f"extracted has {len(request.extracted)} entries for {len(sources)} samples; send one for each",
            field="extracted",
        )
    return [
        _sent_face(sample.photograph, extracted, f"extracted[{number}]")
        for number, (sample, extracted) in enumerate(zip(request.samples, request.extracted, strict=True))
    ]


def _sent_face(photograph: bytes, extracted: face_pb.ExtractedFace, field: str) -> SentFace:
    if not photograph:
        raise InvalidField(f"{field} belongs to a sample that is no photograph", field=field)
    sent = extracted.face
    face = DetectedFace(
        Box(sent.box.x, sent.box.y, sent.box.width, sent.box.height),
        np.array([(point.x, point.y) for point in sent.landmarks], np.float32).reshape(-1, 2),
        sent.detection_score,
        tuple(_measure(one, field) for one in sent.quality),
    )
    _check(face, f"{field}.face")
    return SentFace(photograph, face, convert.template_of(extracted.template))


def _measure(sent: pb.QualityMeasure, field: str) -> QualityMeasure:
    known = sent.measure in MEASURES and len(sent.algorithm) <= _LONGEST_ALGORITHM
    if not known or not math.isfinite(sent.value) or not math.isfinite(sent.component):
        raise InvalidField(
            f"{field}.face.quality has {sent.measure[:40]!r}, which is no measure with finite values",
            field=f"{field}.face.quality",
        )
    return QualityMeasure(sent.measure, _decimal(sent.value), _decimal(sent.component), sent.algorithm)


def _decimal(sent: float) -> float:
    """Return the number that was rounded to float32: 0.2 is 0.2, and keeps a limit of 0.2."""
    return float(str(np.float32(sent)))


def _check(face: DetectedFace, field: str) -> None:
    if len(face.landmarks) != _LANDMARKS:
        problem = f"has {len(face.landmarks)} landmarks; send the {_LANDMARKS} that Extract returned"
    elif not np.isfinite([face.box.x, face.box.y, face.detection_score, *face.landmarks.flat]).all():
        problem = "has a number that is not finite"
    elif not (0 < face.box.width < math.inf and 0 < face.box.height < math.inf):
        problem = "has a box without a size"
    else:
        return
    raise InvalidField(f"{field} {problem}", field=field)
