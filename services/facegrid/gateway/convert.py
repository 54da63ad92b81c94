"""Between protobuf messages and the domain's values: what comes in is checked, what goes out is plain."""

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from facegrid.domain.attributes import Attribute
from facegrid.domain.calls import Call
from facegrid.domain.detection import DetectionMode, DetectionOptions
from facegrid.domain.errors import InvalidField
from facegrid.domain.faces import Box, DetectedFace, FaceSelection
from facegrid.domain.galleries import MigrationState
from facegrid.domain.index_settings import IndexSettings, SearchMethod
from facegrid.domain.names import check_name
from facegrid.domain.packs import Threshold, ThresholdSource
from facegrid.domain.quality import QualityRule
from facegrid.domain.templates import SentTemplate, Template
from facegrid.identity.enroll import EnrollMode
from facegrid.v1 import identity_service_pb2 as identity_pb
from facegrid.v1 import types_pb2 as pb

_LONGEST_NOTE = 256
_NO_PAYLOAD = {"context", "extracted"}
_SELECTIONS = {
    pb.FACE_SELECTION_UNSPECIFIED: FaceSelection.EXACTLY_ONE,
    pb.FACE_SELECTION_EXACTLY_ONE: FaceSelection.EXACTLY_ONE,
    pb.FACE_SELECTION_LARGEST: FaceSelection.LARGEST,
    pb.FACE_SELECTION_ALL: FaceSelection.ALL,
}
_DETECTION_MODES = {
    pb.DETECTION_MODE_UNSPECIFIED: None,
    pb.DETECTION_MODE_REFERENCE: DetectionMode.REFERENCE,
    pb.DETECTION_MODE_FAST: DetectionMode.FAST,
}
_METHODS = {
    pb.SEARCH_METHOD_UNSPECIFIED: SearchMethod.EXACT,
    pb.SEARCH_METHOD_EXACT: SearchMethod.EXACT,
    pb.SEARCH_METHOD_APPROXIMATE: SearchMethod.APPROXIMATE,
}
_MODES = {
    identity_pb.ENROLL_MODE_UNSPECIFIED: EnrollMode.CREATE,
    identity_pb.ENROLL_MODE_CREATE: EnrollMode.CREATE,
    identity_pb.ENROLL_MODE_ADD: EnrollMode.ADD,
    identity_pb.ENROLL_MODE_REPLACE: EnrollMode.REPLACE,
}
_ATTRIBUTES = {pb.Attribute.Value(f"ATTRIBUTE_{attribute.name}"): attribute for attribute in Attribute}
_SOURCES = {
    ThresholdSource.PACK_DEFAULT: pb.THRESHOLD_SOURCE_PACK_DEFAULT,
    ThresholdSource.OPERATOR: pb.THRESHOLD_SOURCE_OPERATOR,
    ThresholdSource.CALIBRATED: pb.THRESHOLD_SOURCE_CALIBRATED,
}


def call_of(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Call:
    """Return who calls. Raises InvalidField for a request context out of its range."""
    sent: pb.RequestContext = request.context
    check_name(sent.request_id, "context.request_id")
    for name in ("transaction_id", "purpose", "case_id", "end_user"):
        value = getattr(sent, name)
        if len(value) > _LONGEST_NOTE or not (value.isprintable()):
            raise InvalidField(
                f"context.{name} is longer than {_LONGEST_NOTE} characters or not printable",
                field=f"context.{name}",
            )
    left = context.time_remaining()
    return Call(
        method=type(request).__name__.removesuffix("Request"),
        request_id=sent.request_id,
        deadline=None if left is None else time.monotonic() + left,
        end_user=sent.end_user,
    )


def mutation_of(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Call:
    """Return who calls, and a digest of the payload, by which a repeated call is recognised."""
    return replace(call_of(request, context), fingerprint=_fingerprint(request))


def _fingerprint(request: Any) -> str:
    """Return a digest of all but who calls, and what the server would find out by itself."""
    aside = type(request)()
    for name in _NO_PAYLOAD.intersection(request.DESCRIPTOR.fields_by_name):
        getattr(aside, name).MergeFrom(getattr(request, name))
        request.ClearField(name)
    digest = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
    request.MergeFrom(aside)
    return digest


def number_of(request: Any, field: str) -> float | None:
    """Return a number that may be absent. A float32 on the wire is rounded: 0.6 is 0.6, not 0.6000000238."""
    return round(getattr(request, field), 6) if request.HasField(field) else None


def selection_of(value: int) -> FaceSelection:
    """Return the selection. Raises InvalidField for a number that the API does not know."""
    if value not in _SELECTIONS:
        raise InvalidField(f"faces is {value}, which is no FaceSelection", field="faces")
    return _SELECTIONS[pb.FaceSelection.ValueType(value)]


def detection_of(sent: pb.DetectionOptions) -> DetectionOptions:
    """Return how to search for faces. Raises InvalidField for a mode that the API does not know."""
    if sent.mode not in _DETECTION_MODES:
        raise InvalidField(
            f"detection.mode is {sent.mode}, which is no DetectionMode", field="detection.mode"
        )
    rotation = sent.any_rotation if sent.HasField("any_rotation") else None
    return DetectionOptions(_DETECTION_MODES[sent.mode], sent.smallest_face_px, rotation)


def mode_of(value: int) -> EnrollMode:
    """Return the mode. Raises InvalidField for a number that the API does not know."""
    if value not in _MODES:
        raise InvalidField(f"mode is {value}, which is no EnrollMode", field="mode")
    return _MODES[identity_pb.EnrollMode.ValueType(value)]


def attributes_of(values: Iterable[int]) -> list[Attribute]:
    """Return the attributes, each once. Raises InvalidField for a number that the API does not know."""
    numbers = list(dict.fromkeys(values))
    for number in numbers:
        if number not in _ATTRIBUTES:
            raise InvalidField(f"attributes has {number}, which is no Attribute", field="attributes")
    return [_ATTRIBUTES[pb.Attribute.ValueType(number)] for number in numbers]


def source_of(sample: pb.Sample, field: str) -> bytes | SentTemplate:
    """Return a sample's photograph or template. Raises InvalidField where it has neither."""
    match sample.WhichOneof("source"):
        case "photograph":
            return sample.photograph
        case "template":
            return template_of(sample.template)
        case _:
            raise InvalidField(f"{field} holds neither a photograph nor a template; set one", field=field)


def template_of(sent: pb.Template) -> SentTemplate:
    """Return a client's template, not yet checked."""
    return SentTemplate(sent.template_version, sent.vector, sent.norm)


def sources_of(samples: Iterable[pb.Sample], field: str) -> list[bytes | SentTemplate]:
    """Return the photographs or templates of several samples."""
    return [source_of(sample, f"{field}[{number}]") for number, sample in enumerate(samples)]


def quality_rules_of(sent: Iterable[pb.QualityRule]) -> list[QualityRule]:
    """Return a gallery's rules, not yet checked."""
    return [
        QualityRule(
            rule.measure,
            rule.minimum if rule.HasField("minimum") else None,
            rule.maximum if rule.HasField("maximum") else None,
        )
        for rule in sent
    ]


def index_of(sent: pb.IndexSettings) -> IndexSettings:
    """Return a gallery's index settings, not yet checked. Raises InvalidField for an unknown method."""
    if sent.method not in _METHODS:
        raise InvalidField(f"index.method is {sent.method}, which is no SearchMethod", field="index.method")
    return IndexSettings(_METHODS[sent.method], sent.nprobe)


def index_to_proto(index: IndexSettings) -> pb.IndexSettings:
    """Return a gallery's index settings as clients see them."""
    return pb.IndexSettings(method=method_to_proto(exact=index.exact), nprobe=index.nprobe)


def method_to_proto(*, exact: bool) -> pb.SearchMethod.ValueType:
    """Return a search method as clients see it."""
    return pb.SEARCH_METHOD_EXACT if exact else pb.SEARCH_METHOD_APPROXIMATE


def face_to_proto(face: DetectedFace) -> pb.DetectedFace:
    """Return a face as clients see it."""
    return pb.DetectedFace(
        box=box_to_proto(face.box),
        landmarks=[pb.Point(x=x, y=y) for x, y in face.landmarks],
        detection_score=face.detection_score,
        quality=[
            pb.QualityMeasure(
                measure=one.measure, value=one.value, component=one.component, algorithm=one.algorithm
            )
            for one in face.quality
        ],
    )


def box_to_proto(box: Box) -> pb.Box:
    """Return a box as clients see it."""
    return pb.Box(x=box.x, y=box.y, width=box.width, height=box.height)


def template_to_proto(template: Template) -> pb.Template:
    """Return a template as clients see it."""
    return pb.Template(template_version=template.version, vector=template.to_bytes(), norm=template.norm)


def threshold_to_proto(threshold: Threshold) -> pb.Threshold:
    """Return a threshold as clients see it."""
    return pb.Threshold(value=threshold.value, source=_SOURCES[threshold.source])


def decision_to_proto(matched: bool) -> pb.Decision.ValueType:
    """Return a decision as clients see it."""
    return pb.DECISION_MATCH if matched else pb.DECISION_NO_MATCH


def attributes_to_proto(attributes: Iterable[Attribute]) -> list[pb.Attribute.ValueType]:
    """Return attributes as clients see them."""
    return [pb.Attribute.Value(f"ATTRIBUTE_{attribute.name}") for attribute in attributes]


def migration_state_to_proto(state: MigrationState | None) -> pb.MigrationState.ValueType:
    """Return the state of a migration as clients see it; None where there is none."""
    return pb.MigrationState.Value(f"MIGRATION_STATE_{state.name if state else 'UNSPECIFIED'}")


def time_to_proto(moment: datetime) -> Timestamp:
    """Return a time as clients see it."""
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def faces_to_proto(faces: Sequence[DetectedFace]) -> list[pb.DetectedFace]:
    """Return faces as clients see them."""
    return [face_to_proto(face) for face in faces]
