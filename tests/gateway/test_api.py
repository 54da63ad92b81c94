"""The API over a real channel: what an integrator meets."""

import asyncio
from collections.abc import Awaitable
from typing import Any, NoReturn

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from api import CALL_LIMIT, MESSAGE_LIMIT, Api, refusal
from facegrid.domain.errors import ConfigurationError
from facegrid.v1 import face_service_pb2 as face_pb
from facegrid.v1 import gallery_service_pb2 as gallery_pb
from facegrid.v1 import identity_service_pb2 as identity_pb
from facegrid.v1 import types_pb2 as pb


def sample(photograph: bytes) -> pb.Sample:
    """Return a photograph as a sample."""
    return pb.Sample(photograph=photograph)


async def test_the_main_job(api: Api) -> None:
    """Enrol, identify, verify and compare answer with scores, decisions, thresholds and what was searched."""
    enrolled = await api.identities.Enroll(
        identity_pb.EnrollRequest(gallery="g", subject_id="ann", samples=[sample(b"ann"), sample(b"ann#2")])
    )
    assert [len(one.sha256) for one in enrolled.encounter.samples] == [64, 64]

    found = await api.identities.Identify(
        identity_pb.IdentifyRequest(gallery="g", probes=[sample(b"ann#3")], min_revision=enrolled.revision)
    )
    (result,) = found.results
    assert (result.decision, result.candidates[0].subject_id) == (pb.DECISION_MATCH, "ann")
    assert found.threshold == pb.Threshold(value=0.6, source=pb.THRESHOLD_SOURCE_PACK_DEFAULT)
    assert found.search.subjects_searched == 1
    assert found.search.method == pb.SEARCH_METHOD_EXACT
    assert found.search.template_version == "fake-1"
    assert found.search.probe_id
    assert found.search.times.search_ms > 0

    verified = await api.identities.Verify(
        identity_pb.VerifyRequest(gallery="g", subject_id="ann", probe=sample(b"bob"))
    )
    assert verified.decision == pb.DECISION_NO_MATCH
    assert verified.threshold.value == 0.5

    compared = await api.faces.Compare(face_pb.CompareRequest(first=sample(b"ann"), second=sample(b"ann#2")))
    assert (compared.decision, compared.template_version) == (pb.DECISION_MATCH, "fake-1")


async def test_a_template_goes_where_a_photograph_goes(api: Api) -> None:
    """What Extract returns can be enrolled and searched as it is."""
    extracted = await api.faces.Extract(face_pb.ExtractRequest(photograph=b"ann"))
    template = extracted.faces[0].template
    await api.identities.Enroll(
        identity_pb.EnrollRequest(gallery="g", subject_id="ann", samples=[pb.Sample(template=template)])
    )
    found = await api.identities.Identify(
        identity_pb.IdentifyRequest(gallery="g", probes=[pb.Sample(template=template)])
    )
    assert found.results[0].candidates[0].score == pytest.approx(1.0)
    assert not found.results[0].HasField("face")


async def test_detect_of_an_empty_wall_is_an_empty_list(api: Api) -> None:
    """Only Detect may find nobody without an error."""
    answer = await api.faces.Detect(face_pb.DetectRequest(photograph=b"wall"))
    assert (answer.width, answer.height, len(answer.faces)) == (640, 480, 0)


async def test_galleries_and_subjects_are_described_listed_and_deleted(api: Api) -> None:
    """The rest of the gallery service, in the order of a gallery's life."""
    created = await api.galleries.CreateGallery(
        gallery_pb.CreateGalleryRequest(name="h", identify_threshold=0.7, keep_photographs=False)
    )
    assert created.gallery.identify_threshold == pb.Threshold(value=0.7, source=pb.THRESHOLD_SOURCE_OPERATOR)
    listed = await api.galleries.ListGalleries(gallery_pb.ListGalleriesRequest())
    assert [gallery.name for gallery in listed.galleries] == ["g", "h"]
    enrolled = await api.identities.Enroll(
        identity_pb.EnrollRequest(gallery="h", subject_id="ann", samples=[sample(b"ann")])
    )
    described = await api.galleries.GetGallery(gallery_pb.GetGalleryRequest(name="h"))
    assert (described.gallery.subject_count, described.gallery.revision) == (1, enrolled.revision)
    subjects = await api.galleries.ListSubjects(gallery_pb.ListSubjectsRequest(gallery="h"))
    assert [subject.subject_id for subject in subjects.subjects] == ["ann"]
    got = await api.galleries.GetSubject(gallery_pb.GetSubjectRequest(gallery="h", subject_id="ann"))
    assert got.subject.encounters[0] == enrolled.encounter
    assert not got.subject.encounters[0].samples[0].photograph_kept
    removed = await api.galleries.DeleteEncounter(
        gallery_pb.DeleteEncounterRequest(
            gallery="h", subject_id="ann", encounter_id=enrolled.encounter.encounter_id
        )
    )
    assert removed.revision != enrolled.revision
    gone = api.galleries.DeleteSubject(gallery_pb.DeleteSubjectRequest(gallery="h", subject_id="ann"))
    assert (await refusal(gone))[:2] == (grpc.StatusCode.NOT_FOUND, "SUBJECT_NOT_FOUND")
    await api.galleries.DeleteGallery(gallery_pb.DeleteGalleryRequest(name="h"))
    described = api.galleries.GetGallery(gallery_pb.GetGalleryRequest(name="h"))
    refused = await refusal(described)
    assert refused[:3] == (grpc.StatusCode.NOT_FOUND, "GALLERY_NOT_FOUND", "name")


async def test_a_retry_gets_the_same_answer(api: Api) -> None:
    """The same request id and payload, with whatever else in the context, enrol once."""
    answers = [
        await api.identities.Enroll(
            identity_pb.EnrollRequest(
                context=pb.RequestContext(request_id="q", transaction_id=transaction),
                gallery="g",
                samples=[sample(b"ann")],
            )
        )
        for transaction in ("t1", "t2")
    ]
    assert answers[0] == answers[1]


Identify = identity_pb.IdentifyRequest
Enroll = identity_pb.EnrollRequest
_BAD_REQUESTS = [
    (Identify(gallery="g", probes=[sample(b"ann")], top=0), "INVALID_FIELD", "top"),
    (Identify(gallery="g", probes=[sample(b"ann")], top=10**9), "INVALID_FIELD", "top"),
    (Identify(gallery="g", probes=[sample(b"ann")], faces=9), "INVALID_FIELD", "faces"),
    (Identify(gallery="g", probes=[pb.Sample()]), "INVALID_FIELD", "probes[0]"),
    (Identify(gallery="g"), "INVALID_FIELD", "probes"),
    (Identify(gallery="../g", probes=[sample(b"ann")]), "INVALID_FIELD", "gallery"),
    (Identify(probes=[sample(b"ann")]), "INVALID_FIELD", "gallery"),
    (Identify(gallery="h", probes=[sample(b"ann")]), "GALLERY_NOT_FOUND", "gallery"),
    (Identify(gallery="g", probes=[sample(b"ann")], min_revision="x"), "INVALID_FIELD", "min_revision"),
    (Identify(gallery="g", probes=[sample(b"ann+bob")]), "MANY_FACES_FOUND", "probes[0]"),
    (Enroll(gallery="g", samples=[sample(b"wall")]), "NO_FACE_FOUND", "samples[0]"),
    (Enroll(gallery="g", samples=[sample(b"")]), "INVALID_PHOTOGRAPH", "samples[0]"),
    (Enroll(gallery="g", samples=[sample(b"tiny:ann")]), "FACE_TOO_SMALL", "samples[0]"),
    (Enroll(gallery="g", samples=[sample(b"ann")], mode=7), "INVALID_FIELD", "mode"),
    (Enroll(gallery="g", samples=[sample(b"ann")], faces=3), "INVALID_FIELD", "faces"),
    (
        Enroll(context={"request_id": "a b"}, gallery="g", samples=[sample(b"ann")]),
        "INVALID_FIELD",
        "context.request_id",
    ),
    (
        Enroll(context={"purpose": "x" * 300}, gallery="g", samples=[sample(b"ann")]),
        "INVALID_FIELD",
        "context.purpose",
    ),
]


@pytest.mark.parametrize(("request_", "reason", "field"), _BAD_REQUESTS)
async def test_a_bad_request_is_refused_with_reason_field_and_sentence(
    api: Api, request_: Any, reason: str, field: str
) -> None:
    """Each bad request gets its own reason and names the field at fault."""
    method = api.identities.Identify if isinstance(request_, Identify) else api.identities.Enroll
    code, got_reason, got_field, sentence = await refusal(method(request_))
    assert code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
    assert (got_reason, got_field) == (reason, field)
    assert len(sentence) > 20


@pytest.mark.parametrize("size", [MESSAGE_LIMIT + 1000, 3 * MESSAGE_LIMIT])
async def test_a_message_over_the_limit_is_refused(api: Api, size: int) -> None:
    """A request that is somewhat too large gets our reason, one far too large the library's; none is read."""
    request = face_pb.DetectRequest(photograph=b"x" * size)
    code, reason, _, _ = await refusal(api.faces.Detect(request))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason == ("MESSAGE_TOO_LARGE" if size < 2 * MESSAGE_LIMIT else "")


async def test_calls_over_the_limit_are_refused_at_once(api: Api) -> None:
    """A server at its limit says so, and health stays answerable."""
    waiting, begun = asyncio.Event(), asyncio.Semaphore(0)
    detect = api.house.vision.detect

    async def slow_detect(*args: Any) -> Any:
        begun.release()
        await waiting.wait()
        return await detect(*args)

    api.house.vision.detect = slow_detect  # type: ignore[method-assign]
    request = face_pb.DetectRequest(photograph=b"ann")
    calls = [asyncio.ensure_future(_awaited(api.faces.Detect(request))) for _ in range(CALL_LIMIT)]
    for _ in calls:
        await begun.acquire()
    assert (await refusal(api.faces.Detect(request)))[1] == "OVERLOADED"
    health = health_pb2_grpc.HealthStub(api.channel)
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == SERVING
    waiting.set()
    assert all(len(answer.faces) == 1 for answer in await asyncio.gather(*calls))


SERVING = health_pb2.HealthCheckResponse.SERVING


async def _awaited(call: Awaitable[Any]) -> Any:
    return await call


async def test_a_fault_tells_the_client_nothing_but_its_id(api: Api) -> None:
    """An unforeseen error is INTERNAL with the request id; the log says where, without its message."""

    async def broken_detect(*_: Any) -> NoReturn:
        raise ValueError("secret /a/path")

    api.house.vision.detect = broken_detect  # type: ignore[method-assign]
    request = face_pb.DetectRequest(context=pb.RequestContext(request_id="q1"), photograph=b"ann")
    with capture_logs() as logs:
        code, reason, _, sentence = await refusal(api.faces.Detect(request))
    assert (code, reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "q1" in sentence
    assert "broken_detect" in logs[-1]["where"]
    assert "secret" not in sentence + repr(logs)


async def test_what_the_operator_must_mend_stands_in_the_log_alone(api: Api) -> None:
    """A pack that cannot be used is FAILED_PRECONDITION for the client, and a sentence in the log."""

    async def unusable_detect(*_: Any) -> NoReturn:
        raise ConfigurationError("mine/manifest.toml: name is 'x'")

    api.house.vision.detect = unusable_detect  # type: ignore[method-assign]
    with capture_logs() as logs:
        code, reason, _, sentence = await refusal(api.faces.Detect(face_pb.DetectRequest(photograph=b"ann")))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MISCONFIGURED")
    assert "manifest" not in sentence
    assert logs[-1]["cause"] == "mine/manifest.toml: name is 'x'"


async def test_each_call_is_one_line_of_the_log(api: Api) -> None:
    """The line has method, code, milliseconds and request id, and nothing of the photograph."""
    request = face_pb.DetectRequest(context=pb.RequestContext(request_id="q2"), photograph=b"ann")
    with capture_logs() as logs:
        await api.faces.Detect(request)
        await refusal(api.faces.Detect(face_pb.DetectRequest()))
    first, second = logs
    assert (first["method"], first["code"], first["request_id"]) == ("Detect", "OK", "q2")
    assert first["ms"] >= 0
    assert (second["code"], second["reason"]) == ("INVALID_ARGUMENT", "INVALID_PHOTOGRAPH")
    assert "ann" not in repr(first)


async def test_health_and_reflection_are_there(api: Api) -> None:
    """Tools can ask what the server offers and whether it serves."""
    health = health_pb2_grpc.HealthStub(api.channel)
    request = health_pb2.HealthCheckRequest(service="facegrid.v1.IdentityService")
    assert (await health.Check(request)).status == SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(api.channel)
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    async for answer in reflection.ServerReflectionInfo(iter([question])):
        names = {service.name for service in answer.list_services_response.service}
        assert {"facegrid.v1.FaceService", "facegrid.v1.GalleryService", "grpc.health.v1.Health"} <= names
