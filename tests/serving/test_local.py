"""The server as an operator meets it: a process that is started, asked, killed and started again."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from facegrid.client import CallFailed, Client
from facegrid.v1.identity_service_pb2 import ENROLL_MODE_CREATE
from s3_servers import S3Server
from server_process import SERVE, ServerProcess

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("stores", ["resident", "milvus-lite", "minio"])
def test_what_was_acknowledged_survives_kill_9(
    start: Callable[..., ServerProcess],
    portrait: bytes,
    tmp_path: Path,
    s3_server: Callable[[str], S3Server],
    stores: str,
) -> None:
    """After kill -9 and a restart an enrolled subject is found, and one that was deleted is not."""
    flags: list[str] = []
    if stores == "milvus-lite":
        flags = ["--milvus", str(tmp_path / "lite")]
    if stores == "minio":
        flags = ["--store", f"{s3_server('minio').url}/killed-server"]
    server = start(*flags)
    with Client(server.address) as client:
        client.create_gallery("g")
        client.enroll("g", [portrait], subject_id="eileen")
        client.enroll("g", [portrait], subject_id="gone")
        client.delete_subject("g", "gone")
    assert server.end(signal.SIGKILL) == -signal.SIGKILL

    server = start(*flags)
    with Client(server.address) as client:
        (result,) = client.identify("g", [portrait]).results
        assert [candidate.subject_id for candidate in result.candidates] == ["eileen"]
        with pytest.raises(CallFailed) as caught:
            client.enroll("g", [portrait], subject_id="eileen", mode=ENROLL_MODE_CREATE)
        assert caught.value.reason == "SUBJECT_EXISTS"


def test_a_second_process_is_told_who_has_the_data(
    start: Callable[..., ServerProcess], tmp_path: Path, open_pack_root: Path
) -> None:
    """One process owns a data folder; the error names its process id and address."""
    server = start()
    environment = os.environ | {"FACEGRID_MODELS": str(open_pack_root)}
    second = subprocess.run(
        [sys.executable, "-m", "facegrid.cli", "gallery", "list", "--data", str(tmp_path / "data")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 1
    assert str(server.process.pid) in second.stderr
    assert server.address in second.stderr
    assert "Traceback" not in second.stderr


def test_sigterm_drains_and_ends_with_0(start: Callable[..., ServerProcess], portrait: bytes) -> None:
    """A call under way when SIGTERM comes is answered."""
    server = start()
    with Client(server.address) as client:
        client.detect(portrait)
        with grpc.insecure_channel(server.address) as channel:
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert server.end() == 0


def _refused(*flags: str, models: Path, data: Path) -> str:
    environment = os.environ | {"FACEGRID_MODELS": str(models), "FACEGRID_DATA": str(data)}
    ended = subprocess.run(
        [*SERVE, *flags], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_a_busy_port_is_an_error(tmp_path: Path, open_pack_root: Path) -> None:
    """The port of another program is not shared."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        refused = _refused("--listen", address, models=open_pack_root, data=tmp_path)
        assert address in refused


def test_an_address_that_others_reach_needs_insecure(tmp_path: Path, open_pack_root: Path) -> None:
    """Without authentication the server stays on loopback, unless the operator insists."""
    refused = _refused("--listen", "0.0.0.0:0", models=open_pack_root, data=tmp_path)
    assert "--insecure" in refused


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:port", "127.0.0.1:99999"])
def test_what_is_no_address_is_refused(tmp_path: Path, open_pack_root: Path, address: str) -> None:
    """The sentence says what an address looks like."""
    assert "HOST:PORT" in _refused("--listen", address, models=open_pack_root, data=tmp_path)


def test_a_missing_pack_is_named_with_the_command_that_builds_it(tmp_path: Path) -> None:
    """A server without its default pack does not start, and says what to run."""
    assert "facegrid models build open" in _refused(models=tmp_path / "none", data=tmp_path / "data")
