"""Kills the server, MinIO or Milvus at random moments under load; FACEGRID_CHAOS_KILLS says how often."""

import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from chaos import KILLS, SEED, WRITERS, say, started
from facegrid.client import Client
from milvus_server import MilvusServer, milvus_programs
from patient_writer import PatientWriter
from s3_servers import S3Server, folder_in_memory, make_server, running_s3
from server_process import ServerProcess
from writer import GALLERY

pytestmark = [pytest.mark.integration, pytest.mark.timeout(0)]

# Milvus takes half a minute to come back.
_ROUNDS = max(2, KILLS // 15)
_LONGEST_RUN_S, _LONGEST_OUTAGE_S = 3.0, 8.0


@dataclass(frozen=True)
class Deployment:
    """A server, the stores that it works on, and those who use it."""

    data: Path
    models: Path
    stores: dict[str, S3Server | MilvusServer]
    writers: list[PatientWriter]
    threads: ThreadPoolExecutor
    chance: random.Random

    def suffer(self, victim: str, server: ServerProcess) -> ServerProcess:
        """Kill somebody under load, bring it back, and hold all against what was acknowledged."""
        with grpc.insecure_channel(server.address) as channel:
            if victim == "server":
                self._kill_server(server, channel)
                server = started(self.data, self.models)
            else:
                self._kill_store(self.stores[victim], channel)
        with grpc.insecure_channel(server.address) as channel:
            list(self.threads.map(lambda one: one.recover(channel), self.writers))
        return server

    def _kill_server(self, server: ServerProcess, channel: grpc.Channel) -> None:
        working = [self.threads.submit(one.work, channel) for one in self.writers]
        self._wait(_LONGEST_RUN_S)
        server.end(signal.SIGKILL)
        for one in working:
            one.result()

    def _kill_store(self, store: S3Server | MilvusServer, channel: grpc.Channel) -> None:
        stopping = threading.Event()
        working = [self.threads.submit(one.endure, channel, stopping) for one in self.writers]
        self._wait(_LONGEST_RUN_S)
        store.kill()
        self._wait(_LONGEST_OUTAGE_S)
        store.start()
        self._wait(_LONGEST_RUN_S)
        stopping.set()
        for one in working:
            one.result()

    def _wait(self, longest_s: float) -> None:
        time.sleep(self.chance.uniform(0, longest_s))


@pytest.fixture
def minio() -> Iterator[S3Server]:
    """Run a MinIO that the test may kill."""
    with folder_in_memory() as folder, running_s3(make_server("minio", folder)) as running:
        yield running


@pytest.fixture
def milvus(tmp_path: Path) -> Iterator[MilvusServer]:
    """Run a Milvus that the test may kill."""
    server = MilvusServer(milvus_programs(), tmp_path / "milvus")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def deployment(
    tmp_path: Path,
    open_pack_root: Path,
    minio: S3Server,
    milvus: MilvusServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Deployment]:
    """Put a server on both."""
    monkeypatch.setenv("FACEGRID_COMPACT_AFTER", "4")
    monkeypatch.setenv("FACEGRID_STORE", minio.url)
    monkeypatch.setenv("FACEGRID_MILVUS", milvus.uri)
    stores = {"minio": minio, "milvus": milvus}
    with ThreadPoolExecutor(WRITERS) as threads:
        yield Deployment(tmp_path, open_pack_root, stores, [], threads, random.Random(SEED))


def test_nothing_is_lost_when_what_it_stands_in_dies(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    """Calls are refused as UNAVAILABLE until all is back; then each that is made again is done, once."""
    victims = ["server", "minio", "milvus"] * _ROUNDS
    deployment.chance.shuffle(victims)
    server = started(deployment.data, deployment.models)
    with ExitStack() as stack:
        stack.callback(lambda: print(server.log[-20_000:]))  # noqa: T201  # shown where the test fails
        stack.callback(lambda: server.end(signal.SIGKILL))
        with Client(server.address) as client:
            version = client.create_gallery(GALLERY).template_version
        writers = [PatientWriter(f"w{number}", SEED, version) for number in range(WRITERS)]
        deployment.writers.extend(writers)
        for number, victim in enumerate(victims, 1):
            server = deployment.suffer(victim, server)
            say(capsys, f"\rkills {number} of {len(victims)}, seed {SEED}, the last of {victim:6}")
    done = sum(one.acknowledged for one in writers)
    refused, again = sum(one.refused for one in writers), sum(one.retried for one in writers)
    say(capsys, f", {done} mutations acknowledged, {refused} calls refused, {again} made again\n")
    assert all(one.acknowledged and one.refused for one in writers)
