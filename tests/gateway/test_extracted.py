"""Enrolling photographs whose faces the client has extracted already."""

import math
from typing import Any

import grpc
import pytest

from api import Api, refusal
from facegrid.v1 import face_service_pb2 as face_pb
from facegrid.v1 import gallery_service_pb2 as gallery_pb
from facegrid.v1 import identity_service_pb2 as identity_pb
from facegrid.v1 import types_pb2 as pb


async def _extracted(api: Api, photograph: bytes) -> face_pb.ExtractedFace:
    (face,) = (await api.faces.Extract(face_pb.ExtractRequest(photograph=photograph))).faces
    return face


def _request(
    *extracted: face_pb.ExtractedFace, photograph: bytes = b"ann", gallery: str = "g", request_id: str = ""
) -> identity_pb.EnrollRequest:
    return identity_pb.EnrollRequest(
        context=pb.RequestContext(request_id=request_id),
        gallery=gallery,
        subject_id="ann",
        mode=identity_pb.ENROLL_MODE_ADD,
        samples=[pb.Sample(photograph=photograph)],
        extracted=extracted,
    )


async def test_it_is_stored_as_if_the_server_had_looked(api: Api) -> None:
    """Face, quality, template, photograph and id of the encounter; the photograph itself is not looked at."""
    await api.galleries.CreateGallery(gallery_pb.CreateGalleryRequest(name="h"))
    extracted = await _extracted(api, b"ann")
    await api.identities.Enroll(_request(photograph=b"ann"))
    await api.identities.Enroll(_request(extracted, gallery="h"))
    stored = []
    for name in ("g", "h"):
        gallery = await api.house.galleries.get(name)
        subject = await api.house.records.subject(gallery, "ann")
        assert subject
        ((sample,),) = (one.samples for one in subject.encounters)
        assert sample.face
        stored.append((sample.sha256, sample.photograph_kept, sample.template.norm, sample.face.box))
        stored[-1] += (sample.face.quality, sample.face.landmarks.tolist(), sample.template.to_bytes())
        assert sample.face.detection_score == pytest.approx(0.9)
    assert stored[0] == stored[1]
    wall = _request(extracted, photograph=b"wall", gallery="h")
    assert (await api.identities.Enroll(wall)).encounter.samples


async def test_a_request_id_stands_for_both_ways(api: Api) -> None:
    """A call is the same call with what was extracted and without."""
    extracted = await _extracted(api, b"ann")
    ways = ([], [extracted], [])
    answers = [await api.identities.Enroll(_request(*way, request_id="one")) for way in ways]
    assert len({answer.encounter.encounter_id for answer in answers}) == 1
    other = _request(extracted, photograph=b"ann#2", request_id="one")
    assert (await refusal(api.identities.Enroll(other)))[1] == "REQUEST_ID_REUSED"


async def test_rules_hold_for_what_was_extracted(api: Api) -> None:
    """The refusal is the one that the photograph alone meets, and a value on the limit keeps it."""
    rules = [pb.QualityRule(measure="inter_eye_distance", minimum=20.2)]
    await api.galleries.CreateGallery(gallery_pb.CreateGalleryRequest(name="h", quality_rules=rules))
    extracted = await _extracted(api, b"far:ann")
    refusals = [
        await refusal(api.identities.Enroll(_request(*way, photograph=b"far:ann", gallery="h")))
        for way in ([], [extracted])
    ]
    assert refusals[0] == refusals[1]
    assert refusals[0][:2] == (grpc.StatusCode.INVALID_ARGUMENT, "QUALITY_TOO_LOW")
    extracted.face.quality[0].value = 20.2
    assert (await api.identities.Enroll(_request(extracted, photograph=b"far:ann", gallery="h"))).encounter


def _spoil(face: face_pb.ExtractedFace, what: str) -> None:
    match what:
        case "landmarks":
            del face.face.landmarks[0]
        case "number":
            face.face.landmarks[0].x = math.nan
        case "box":
            face.face.box.width = 0
        case "measure":
            face.face.quality[0].measure = "beauty"
        case "value":
            face.face.quality[0].value = math.inf
        case "version":
            face.template.template_version = "other"
        case _:
            face.template.vector = b""


@pytest.mark.parametrize(
    ("what", "reason", "field"),
    [
        ("landmarks", "INVALID_FIELD", "extracted[0].face"),
        ("number", "INVALID_FIELD", "extracted[0].face"),
        ("box", "INVALID_FIELD", "extracted[0].face"),
        ("measure", "INVALID_FIELD", "extracted[0].face.quality"),
        ("value", "INVALID_FIELD", "extracted[0].face.quality"),
        ("version", "TEMPLATE_VERSION_MISMATCH", "samples[0]"),
        ("vector", "INVALID_TEMPLATE", "samples[0]"),
    ],
)
async def test_what_no_extraction_gives_is_refused(api: Api, what: str, reason: str, field: str) -> None:
    """The sentence names the field, and nothing is stored."""
    face = await _extracted(api, b"ann")
    _spoil(face, what)
    assert (await refusal(api.identities.Enroll(_request(face))))[1:3] == (reason, field)
    listed: Any = await api.galleries.ListSubjects(gallery_pb.ListSubjectsRequest(gallery="g"))
    assert not listed.subjects


async def test_each_sample_needs_its_own(api: Api) -> None:
    """As many as samples, and photographs all of them."""
    face = await _extracted(api, b"ann")
    assert (await refusal(api.identities.Enroll(_request(face, face))))[1:3] == ("INVALID_FIELD", "extracted")
    template = _request(face)
    template.samples[0].template.CopyFrom(face.template)
    assert (await refusal(api.identities.Enroll(template)))[1:3] == ("INVALID_FIELD", "extracted[0]")
