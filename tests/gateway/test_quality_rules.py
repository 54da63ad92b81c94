"""Quality rules over the API: made, shown, and stated in a refusal for people and for programs."""

import math
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from api import Api
from facegrid.v1 import gallery_service_pb2 as gallery_pb
from facegrid.v1 import identity_service_pb2 as identity_pb
from facegrid.v1 import types_pb2 as pb

EYES = pb.QualityRule(measure="inter_eye_distance", minimum=30.1)


async def _refusal(call: Any) -> tuple[error_details_pb2.ErrorInfo, error_details_pb2.BadRequest]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(caught.value)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details if status else ():
        _ = detail.Unpack(info) or detail.Unpack(bad)
    return info, bad


async def _create(api: Api, *rules: pb.QualityRule) -> pb.Gallery:
    request = gallery_pb.CreateGalleryRequest(name="strict", quality_rules=rules)
    return (await api.galleries.CreateGallery(request)).gallery


async def test_rules_are_shown_as_they_were_made(api: Api) -> None:
    """Limits come back exactly, and one that was not set stays absent."""
    rules = [EYES, pb.QualityRule(measure="yaw", minimum=-20, maximum=0)]
    assert list((await _create(api, *rules)).quality_rules) == rules
    shown = await api.galleries.GetGallery(gallery_pb.GetGalleryRequest(name="strict"))
    assert list(shown.gallery.quality_rules) == rules
    listed = await api.galleries.ListGalleries(gallery_pb.ListGalleriesRequest())
    assert [len(gallery.quality_rules) for gallery in listed.galleries] == [0, 2]


async def test_a_refusal_states_sample_measure_value_and_limit(api: Api) -> None:
    """BadRequest names the sample, ErrorInfo has the figures under names that the standard allows."""
    await _create(api, EYES)
    samples = [pb.Sample(photograph=photograph) for photograph in (b"ann", b"far:ann")]
    request = identity_pb.EnrollRequest(gallery="strict", subject_id="ann", samples=samples)
    info, bad = await _refusal(api.identities.Enroll(request))
    assert info.reason == "QUALITY_TOO_LOW"
    assert dict(info.metadata) == {
        "measures": "inter_eye_distance",
        "inter_eye_distance_value": "20",
        "inter_eye_distance_minimum": "30.1",
    }
    (violation,) = bad.field_violations
    assert violation.field == "samples[1]"
    assert "inter_eye_distance is 20 px, minimum 30.1 px" in violation.description


@pytest.mark.parametrize(
    "rule",
    [
        pb.QualityRule(),
        pb.QualityRule(measure="inter_eye_distance", minimum=1),
        pb.QualityRule(measure="yaw"),
        pb.QualityRule(measure="yaw", maximum=math.nan),
        pb.QualityRule(measure="yaw", minimum=1, maximum=0),
    ],
)
async def test_a_bad_rule_is_named(api: Api, rule: pb.QualityRule) -> None:
    """INVALID_FIELD with the rule's place."""
    info, bad = await _refusal(_create(api, EYES, rule))
    assert (info.reason, bad.field_violations[0].field) == ("INVALID_FIELD", "quality_rules[1]")
