"""Kills the server at random moments under load; FACEGRID_CHAOS_KILLS says how often."""

import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from chaos import KILLS, SEED, WRITERS, killed, say, started
from facegrid.client import Client
from facegrid.storage.objects.files import LocalObjectStore
from facegrid.storage.objects.store import ObjectStore
from s3_servers import S3Server
from server_process import ServerProcess
from writer import GALLERY, Writer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(0)]

_START_S = 2.0


@pytest.mark.parametrize(
    ("kind", "compacting", "kills"),
    [
        pytest.param("folder", False, KILLS // 2, id="objects"),
        pytest.param("folder", True, KILLS // 2, id="segments"),
        pytest.param("minio", True, max(3, KILLS // 10), id="minio"),
    ],
)
def test_nothing_is_lost_and_nothing_comes_back(
    tmp_path: Path,
    open_pack_root: Path,
    s3_server: Callable[[str], S3Server],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    kind: str,
    compacting: bool,
    kills: int,
) -> None:
    """After kill -9 what was acknowledged is there, what was deleted is gone, and nobody is half there."""
    monkeypatch.setenv("FACEGRID_COMPACT_AFTER", "4" if compacting else "5000")
    objects: ObjectStore = LocalObjectStore(tmp_path / "objects")
    if kind != "folder":
        monkeypatch.setenv("FACEGRID_STORE", f"{s3_server(kind).url}/chaos")
        objects = s3_server(kind).store("chaos")
    longest_run_s = 3.0 if compacting else 1.0
    chance = random.Random(SEED)
    server = started(tmp_path, open_pack_root)
    with Client(server.address) as client:
        version = client.create_gallery(GALLERY).template_version
    writers = [Writer(f"w{number}", SEED, version) for number in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as threads:
        for kill in range(kills):
            with killed(server), grpc.insecure_channel(server.address) as channel:
                list(threads.map(lambda one: one.settle(channel), writers))
                working = [threads.submit(one.work, channel) for one in writers]
                time.sleep(chance.uniform(0, longest_run_s))
                server.end(signal.SIGKILL)
                for one in working:
                    one.result()
            if chance.random() < 0.2:
                _kill_at_start(tmp_path, open_pack_root, chance.uniform(0, _START_S))
            server = started(tmp_path, open_pack_root)
            say(capsys, f"\rkills {kill + 1} of {kills}, seed {SEED}")
        with killed(server), grpc.insecure_channel(server.address) as channel:
            list(threads.map(lambda one: one.settle(channel), writers))
    say(capsys, f", {sum(one.acknowledged for one in writers)} mutations acknowledged\n")
    assert all(one.acknowledged for one in writers)
    assert any(key.endswith(".parquet") for key in objects.keys("")) == compacting


def _kill_at_start(data: Path, models: Path, after_s: float) -> None:
    """Kill a server that may still be finishing what the last kill left half done."""
    with killed(ServerProcess(data, models)):
        time.sleep(after_s)
