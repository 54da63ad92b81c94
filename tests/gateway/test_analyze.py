"""Analyze over a real channel."""

from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from api import Api, refusal
from facegrid.v1 import face_service_pb2 as face_pb
from facegrid.v1 import gallery_service_pb2 as gallery_pb
from facegrid.v1 import types_pb2 as pb

ALL = pb.FACE_SELECTION_ALL


def asking(*attributes: pb.Attribute.ValueType, photograph: bytes = b"ann", **fields: Any) -> Any:
    """Return a request for attributes."""
    return face_pb.AnalyzeRequest(photograph=photograph, attributes=attributes, **fields)


async def test_each_attribute_has_its_field(api: Api) -> None:
    """What is asked for is there, for each face; what is not asked for is absent."""
    created = await api.galleries.CreateGallery(
        gallery_pb.CreateGalleryRequest(
            name="a", attributes=[pb.ATTRIBUTE_POSE, pb.ATTRIBUTE_MASK, pb.ATTRIBUTE_LANDMARKS_106]
        )
    )
    described = await api.galleries.GetGallery(gallery_pb.GetGalleryRequest(name="a"))
    assert list(described.gallery.attributes) == list(created.gallery.attributes)
    assert list(described.gallery.attributes) == [
        pb.ATTRIBUTE_POSE,
        pb.ATTRIBUTE_MASK,
        pb.ATTRIBUTE_LANDMARKS_106,
    ]
    request = asking(*described.gallery.attributes, photograph=b"ann+bob", faces=ALL, gallery="a")
    first, second = (await api.faces.Analyze(request)).faces
    assert first.face.box.x < second.face.box.x
    assert second.attributes.pose == face_pb.Pose(pitch=-3, yaw=100, roll=12.5)
    assert second.attributes.landmarks_106[105] == pb.Point(x=100, y=100)
    assert second.attributes.mask == 0.25
    assert not second.attributes.HasField("age")
    assert not second.attributes.HasField("gender_presentation")
    assert len(second.attributes.landmarks_68) == 0


@pytest.mark.parametrize(
    ("request_", "code", "reason", "field"),
    [
        (asking(pb.ATTRIBUTE_MASK), "PERMISSION_DENIED", "ATTRIBUTE_NOT_ALLOWED", "attributes"),
        (asking(pb.ATTRIBUTE_MASK, gallery="g"), "PERMISSION_DENIED", "ATTRIBUTE_NOT_ALLOWED", "attributes"),
        (
            asking(pb.ATTRIBUTE_GENDER_PRESENTATION),
            "FAILED_PRECONDITION",
            "ATTRIBUTE_NOT_AVAILABLE",
            "attributes",
        ),
        (asking(), "INVALID_ARGUMENT", "INVALID_FIELD", "attributes"),
        (asking(0), "INVALID_ARGUMENT", "INVALID_FIELD", "attributes"),
        (asking(99), "INVALID_ARGUMENT", "INVALID_FIELD", "attributes"),
        (asking(pb.ATTRIBUTE_AGE, faces=9), "INVALID_ARGUMENT", "INVALID_FIELD", "faces"),
        (asking(pb.ATTRIBUTE_AGE, photograph=b""), "INVALID_ARGUMENT", "INVALID_PHOTOGRAPH", "photograph"),
        (asking(pb.ATTRIBUTE_AGE, gallery="h"), "NOT_FOUND", "GALLERY_NOT_FOUND", "gallery"),
    ],
)
async def test_refusals(api: Api, request_: Any, code: str, reason: str, field: str) -> None:
    """Each has its status code and reason and names the field at fault."""
    got_code, got_reason, got_field, _ = await refusal(api.faces.Analyze(request_))
    assert (got_code, got_reason, got_field) == (grpc.StatusCode[code], reason, field)


async def test_a_gallery_allows_no_number_that_is_no_attribute(api: Api) -> None:
    """What the API does not know is refused when the gallery is made."""
    refused = await refusal(
        api.galleries.CreateGallery(gallery_pb.CreateGalleryRequest(name="b", attributes=[77]))
    )
    assert refused[1:3] == ("INVALID_FIELD", "attributes")


async def test_what_was_read_is_not_logged(api: Api) -> None:
    """The call's line says no more than that of any other call."""
    with capture_logs() as logs:
        answer = await api.faces.Analyze(asking(pb.ATTRIBUTE_AGE, pb.ATTRIBUTE_AGE))
    assert answer.faces[0].attributes.age == 40
    (line,) = logs
    assert line.keys() == {"event", "method", "request_id", "ms", "code", "log_level"}
