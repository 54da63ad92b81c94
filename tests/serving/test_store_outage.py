"""A server whose objects are in a bucket."""

import subprocess
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import grpc
import numpy as np
import pytest

from facegrid.client import CallFailed, Client
from facegrid.v1.identity_service_pb2 import EnrollRequest, IdentifyRequest
from facegrid.v1.identity_service_pb2_grpc import IdentityServiceStub
from facegrid.v1.types_pb2 import Sample, Template
from health import wait_for_health
from s3_servers import KEYS, S3Server, folder_in_memory, make_server, running_s3
from server_process import SERVE, ServerProcess
from tcp_proxy import proxied

pytestmark = pytest.mark.integration
NEED_A_STORE = ("facegrid.v1.GalleryService", "facegrid.v1.IdentityService")


def test_searches_go_on_while_the_store_is_gone_and_the_rest_when_it_is_back(
    start: Callable[..., ServerProcess], portrait: bytes
) -> None:
    """The services that need the store say so, calls that need it are UNAVAILABLE, and no key is logged."""
    with folder_in_memory() as folder, running_s3(make_server("minio", folder)) as minio:
        server = start("--store", minio.url)
        with Client(server.address) as client:
            client.create_gallery("g")
            client.enroll("g", [portrait], subject_id="eileen")
            minio.kill()
            wait_for_health(
                server.address,
                {
                    **dict.fromkeys(NEED_A_STORE, "NOT_SERVING"),
                    "facegrid.v1.FaceService": "SERVING",
                    "": "SERVING",
                },
            )
            (result,) = client.identify("g", [portrait]).results
            assert [candidate.subject_id for candidate in result.candidates] == ["eileen"]
            with pytest.raises(CallFailed) as caught:
                client.enroll("g", [portrait], subject_id="another")
            assert caught.value.reason == "STORE_UNAVAILABLE"
            minio.start()
            wait_for_health(server.address, dict.fromkeys(NEED_A_STORE, "SERVING"))
            client.enroll("g", [portrait], subject_id="another")
        assert server.end() == 0
        assert "S3Failure ECONNREFUSED" in server.log
        assert not any(secret in server.log for secret in ("X-Amz", KEYS["AWS_SECRET_ACCESS_KEY"]))


def test_searches_pass_writers_that_wait_for_a_slow_store(
    start: Callable[..., ServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many wait, a search is answered before any of them: it needs no store."""
    monkeypatch.setenv("FACEGRID_MAX_CALLS", "16")
    with (
        folder_in_memory() as folder,
        running_s3(make_server("minio", folder)) as minio,
        proxied(minio.port) as proxy,
        ThreadPoolExecutor(16) as threads,
    ):
        server = start("--store", f"http://127.0.0.1:{proxy.port}/tests")
        with Client(server.address) as client, grpc.insecure_channel(server.address) as channel:
            template = Template(template_version=client.create_gallery("g").template_version)
            template.vector = np.eye(1, 128, dtype="<f4").tobytes()
            stub, sample = IdentityServiceStub(channel), Sample(template=template)
            stub.Enroll(EnrollRequest(gallery="g", subject_id="eileen", samples=[sample]))
            proxy.stall()
            writing = [
                threads.submit(stub.Enroll, EnrollRequest(gallery="g", samples=[sample])) for _ in range(16)
            ]
            refused, _ = wait(writing, return_when=FIRST_COMPLETED)
            found = stub.Identify(IdentifyRequest(gallery="g", probes=[sample])).results[0]
            assert [one.subject_id for one in found.candidates] == ["eileen"]
            assert sum(one.done() for one in writing) <= 2
            assert {one.exception().code() for one in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
            proxy.flow()
            wait(writing)


def test_a_second_server_on_a_bucket_is_told_who_has_it(
    start: Callable[..., ServerProcess],
    s3_server: Callable[[str], S3Server],
    tmp_path: Path,
) -> None:
    """Its own data folder does not help it; when the first is gone, the bucket is free at once."""
    flags = ["--store", f"{s3_server('minio').url}/owned"]
    first = start(*flags)
    second = subprocess.run(
        [*SERVE, "--listen", "127.0.0.1:0", *flags, "--data", tmp_path / "other"],
        capture_output=True,
        text=True,
        check=False,
        env=first.environment,
        timeout=60,
    )
    assert second.returncode == 1
    assert f"the server at {first.address} (process {first.process.pid}" in second.stderr
    assert first.end() == 0
    start(*flags, data="other")
