"""How a request says in which way faces are searched for."""

import grpc
import pytest

from api import Api
from facegrid.domain.detection import DetectionMode, DetectionOptions
from facegrid.v1 import types_pb2 as pb
from facegrid.v1.face_service_pb2 import CompareRequest, DetectRequest, ExtractRequest
from facegrid.v1.identity_service_pb2 import EnrollRequest, IdentifyRequest, VerifyRequest

ANN = pb.Sample(photograph=b"ann")
ASKED = pb.DetectionOptions(mode=pb.DETECTION_MODE_FAST, smallest_face_px=40, any_rotation=True)


async def test_every_call_takes_the_options(api: Api) -> None:
    """Each call that is given a photograph hands them on; without them the server's hold."""
    calls = [
        (api.faces.Detect, DetectRequest(photograph=b"ann", detection=ASKED)),
        (api.faces.Extract, ExtractRequest(photograph=b"ann", detection=ASKED)),
        (api.faces.Compare, CompareRequest(first=ANN, second=ANN, detection=ASKED)),
        (api.identities.Enroll, EnrollRequest(gallery="g", subject_id="a", samples=[ANN], detection=ASKED)),
        (api.identities.Verify, VerifyRequest(gallery="g", subject_id="a", probe=ANN, detection=ASKED)),
        (api.identities.Identify, IdentifyRequest(gallery="g", probes=[ANN], detection=ASKED)),
    ]
    for call, request in calls:
        await api.faces.Detect(DetectRequest(photograph=b"ann"))
        assert api.house.vision.asked == DetectionOptions()
        await call(request)
        assert api.house.vision.asked == DetectionOptions(DetectionMode.FAST, 40, any_rotation=True)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (pb.DetectionOptions(mode=9), "detection.mode"),
        (pb.DetectionOptions(smallest_face_px=5), "detection.smallest_face_px"),
    ],
)
async def test_wrong_options(api: Api, options: pb.DetectionOptions, field: str) -> None:
    """Modes that the API does not know and sizes below the limit are refused with the field's name."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.faces.Detect(DetectRequest(photograph=b"ann", detection=options))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert field in (caught.value.details() or "")
