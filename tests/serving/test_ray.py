"""The service on Ray as clients and operators meet it: one application for all tests of the module."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from facegrid.client import CallFailed, Client
from facegrid.serving.local import LocalRuntime
from facegrid.settings import Settings
from facegrid.v1 import types_pb2 as pb
from facegrid.v1.face_service_pb2 import AnalyzeRequest, DetectRequest, ExtractRequest
from facegrid.v1.face_service_pb2_grpc import FaceServiceStub
from ray_server import PATIENT, RayServer, eventually, under_load

_KILLS = int(os.environ.get("FACEGRID_CHAOS_RAY_KILLS", "1"))
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300 * _KILLS)]

_SMALL = {"num_cpus": 0.2}
_QUICK = {
    "min_replicas": 1,
    "max_replicas": 2,
    "target_ongoing_requests": 0.5,  # with the open pack, finding six faces takes twice what embedding does
    "upscale_delay_s": 1,
    "downscale_delay_s": 3,
    "look_back_period_s": 3,
}


@pytest.fixture(scope="module")
def ray_server(many_packs: Path) -> Iterator[RayServer]:
    """Yield the application: two detectors, and embedders as they are needed."""
    with TemporaryDirectory(prefix="fg", dir="/tmp") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGRID_ATTRIBUTES", "all")
        patch.setenv("RAY_TMPDIR", folder)  # short: Ray's socket paths have at most 107 characters
        try:
            server = started(Path(folder, "1"), many_packs)
        except RuntimeError:  # Ray gives its own start 30 s, which a busy machine may need more of
            server = started(Path(folder, "2"), many_packs)
        try:
            yield server
        finally:
            server.end(signal.SIGKILL)


def started(folder: Path, packs: Path) -> RayServer:
    """Return the application once it serves."""
    folder.mkdir()
    server = RayServer(
        folder,
        packs,
        Gateway={"ray_actor_options": _SMALL | {"resources": {"facegrid_gateway": 1}}},
        Detector={
            "autoscaling_config": None,
            "num_replicas": 2,
            "ray_actor_options": _SMALL,
            "max_ongoing_requests": 8,
            "max_queued_requests": 8,
            "max_surge_percent": 50,
        },
        Embedder={"autoscaling_config": _QUICK, "ray_actor_options": _SMALL},
        Attributes={"autoscaling_config": _QUICK | {"min_replicas": 0}, "ray_actor_options": _SMALL},
    )
    server.wait()
    return server


@pytest.fixture
def stub(ray_server: RayServer) -> Iterator[FaceServiceStub]:
    """Yield a stub that never retries."""
    with grpc.insecure_channel(ray_server.address, [("grpc.enable_retries", 0)]) as channel:
        yield FaceServiceStub(channel)


def answers(client: Client, portrait: bytes, crowd: bytes) -> list[Any]:
    """Return what the main job answers, without its times and random ids."""
    client.create_gallery("g")
    client.enroll("g", [portrait], subject_id="eileen")
    found = client.identify("g", [crowd], faces=pb.FACE_SELECTION_ALL).results
    candidates = [(one.subject_id, one.score) for result in found for one in result.candidates]
    assert [subject for subject, _ in candidates] == 6 * ["eileen"]
    everybody = client.extract(crowd, faces=pb.FACE_SELECTION_ALL)
    compared = client.compare(portrait, crowd, faces=pb.FACE_SELECTION_LARGEST)
    ages = client.analyze(crowd, [pb.ATTRIBUTE_AGE], faces=pb.FACE_SELECTION_ALL, pack="aging")
    assert len(ages.faces) == 6
    return [candidates, everybody, compared, ages, client.detect(crowd)]


def test_answers_are_those_of_one_process(
    ray_server: RayServer, portrait: bytes, crowd: bytes, many_packs: Path, tmp_path: Path
) -> None:
    """Boxes, qualities, templates, scores, candidates and attributes are equal to the last bit."""
    local = LocalRuntime(Settings(data=tmp_path, models=many_packs, attributes="all"))
    try:
        with Client(local.start()) as client:
            expected = answers(client, portrait, crowd)
    finally:
        local.stop()
    with Client(ray_server.address) as client:
        assert answers(client, portrait, crowd) == expected


def test_health_is_that_of_the_gateway(ray_server: RayServer) -> None:
    """The gateway's own port answers health checks."""
    with grpc.insecure_channel(ray_server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert health.status == health_pb2.HealthCheckResponse.SERVING


def test_tiers_answer_nobody_without_the_token(ray_server: RayServer) -> None:
    """The one port that Ray opens beyond loopback, a replica's, refuses who has not this Ray's token."""
    (port,) = ray_server.open_ports("Detector")
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/ray.serve.ASGIService/HandleRequest")(b"", timeout=10)
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("pack", "photograph", "reason"),
    [
        ("", b"nothing", "INVALID_PHOTOGRAPH"),
        ("none", None, "PACK_NOT_FOUND"),
        ("torn", None, "MISCONFIGURED"),
        ("faulty", None, "INTERNAL"),
    ],
)
def test_what_a_tier_throws_reaches_no_client(
    ray_server: RayServer, portrait: bytes, pack: str, photograph: bytes | None, reason: str
) -> None:
    """A tier's error has the reason that it has in one process, and nothing of Ray, paths or addresses."""
    with Client(ray_server.address) as client, pytest.raises(CallFailed) as caught:
        client.extract(photograph or portrait, pack=pack)
    assert caught.value.reason == reason
    told = (caught.value.message + repr(caught.value.metadata)).lower()
    assert not [word for word in ("ray", "trace", "/", "127.0.0.1", "pid", "onnx") if word in told]


def test_what_is_too_much_is_refused_at_once(stub: FaceServiceStub, crowd: bytes) -> None:
    """Calls beyond what replicas and their queue take are RESOURCE_EXHAUSTED, and the rest is answered."""
    calls = [stub.Detect.future(DetectRequest(photograph=crowd), timeout=60) for _ in range(60)]
    codes = [call.code() for call in calls]
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert codes.count(grpc.StatusCode.OK) >= 16


def test_embedders_come_with_the_load_and_go_with_it(
    ray_server: RayServer, stub: FaceServiceStub, crowd: bytes
) -> None:
    """Photographs of six faces bring a second embedder and no attributes, and it goes when they end."""
    eventually(lambda: not ray_server.replicas("Attributes"), "attributes scaled to zero")
    request = ExtractRequest(photograph=crowd, faces=pb.FACE_SELECTION_ALL)
    with under_load(lambda: stub.Extract(request, timeout=60)) as outcomes:
        eventually(lambda: len(ray_server.replicas("Embedder")) == 2, "a second embedder")
        assert not ray_server.replicas("Attributes")
    assert set(outcomes) == {""}
    eventually(lambda: len(ray_server.replicas("Embedder")) == 1, "its end")


@pytest.mark.parametrize("name", ["Detector", "Embedder", "Attributes", "Controller"])
def test_a_kill_is_seen_by_no_client(
    ray_server: RayServer,
    stub: FaceServiceStub,
    portrait: bytes,
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After kill -9 of a replica, or of Ray's controller, under load, all calls succeed and it comes back."""
    extract = ExtractRequest(photograph=portrait)
    analyze = AnalyzeRequest(photograph=portrait, attributes=[pb.ATTRIBUTE_AGE], pack="aging")

    def call() -> object:
        return (
            stub.Analyze(analyze, timeout=60) if name == "Attributes" else stub.Extract(extract, timeout=60)
        )

    call()
    before = len(ray_server.replicas(name))
    with under_load(call) as outcomes:
        for _ in range(_KILLS):
            loaded = len(outcomes) + 20
            eventually(lambda: len(outcomes) > loaded, "load")  # noqa: B023  # it ends before the next
            ray_server.kill(name)
            eventually(lambda: len(ray_server.replicas(name)) >= before, f"another {name}")
        loaded = len(outcomes) + 20
        eventually(lambda: len(outcomes) > loaded, "load after the kill")
    assert set(outcomes) == {""}
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: {_KILLS} kills, {len(outcomes)} calls, none failed\n")


def test_a_new_version_of_a_tier_takes_over(
    ray_server: RayServer, stub: FaceServiceStub, portrait: bytes
) -> None:
    """A changed configuration replaces a tier's replicas under load, and no call fails."""
    before = set(ray_server.replicas("Detector"))
    request = ExtractRequest(photograph=portrait)
    with under_load(lambda: stub.Extract(request, timeout=60)) as outcomes:
        ray_server.deploy(Detector={"ray_actor_options": {"num_cpus": 0.25}})
        eventually(lambda: not before & set(ray_server.replicas("Detector")), "the end of the old replicas")
        after = len(outcomes)
        eventually(lambda: len(outcomes) > after + 20, "load on the new ones")
    assert set(outcomes) == {""}


def test_another_pack_takes_over(ray_server: RayServer, portrait: bytes) -> None:
    """A configuration with another default pack is deployed under load; clients that retry see no failure."""
    versions = set()
    with grpc.insecure_channel(ray_server.address, PATIENT) as channel:
        patient = FaceServiceStub(channel)

        def call() -> None:
            answer = patient.Extract(ExtractRequest(photograph=portrait), timeout=90, wait_for_ready=True)
            versions.add(answer.faces[0].template.template_version.partition("-")[0])

        with under_load(call) as outcomes:
            eventually(lambda: "open" in versions, "load")
            ray_server.deploy_settings(pack="aging")
            eventually(lambda: "aging" in versions, "templates of the other pack")
    assert set(outcomes) == {""}


def test_clients_that_wait_see_no_gateway_fail(ray_server: RayServer, portrait: bytes) -> None:
    """After kill -9 of the only gateway, clients that retry and wait for a connection see no failed call."""
    request = ExtractRequest(photograph=portrait)
    with grpc.insecure_channel(ray_server.address, PATIENT) as channel:
        patient = FaceServiceStub(channel)
        with under_load(lambda: patient.Extract(request, timeout=90, wait_for_ready=True)) as outcomes:
            eventually(lambda: len(outcomes) > 20, "load")
            ray_server.kill("Gateway")
            eventually(lambda: len(ray_server.replicas("Gateway")) == 1, "another gateway")
            after = len(outcomes)
            eventually(lambda: len(outcomes) > after + 20, "load after the kill")
    assert set(outcomes) == {""}


def test_sigterm_drains(ray_server: RayServer, crowd: bytes) -> None:
    """Calls under way when SIGTERM comes are answered, and no process is left."""
    with grpc.insecure_channel(ray_server.address) as channel:
        calls = [
            FaceServiceStub(channel).Extract.future(
                ExtractRequest(photograph=crowd, faces=pb.FACE_SELECTION_ALL), timeout=60
            )
            for _ in range(4)
        ]
        eventually(lambda: all(call.running() for call in calls), "calls under way")
        below = ray_server.descendants()
        assert ray_server.end() == 0
        assert [call.code() for call in calls] == [grpc.StatusCode.OK] * 4
    eventually(lambda: not [pid for pid in below if Path(f"/proc/{pid}").exists()], "the end of all")
