"""A server that was stopped for longer than its lease lasts, and goes on."""

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing

import pytest

from facegrid.storage.objects.lease import StoreLease
from s3_servers import S3Server

pytestmark = pytest.mark.integration
LIFE_S = 2.0
OWNER = f"""
import sys
from facegrid.storage.objects.lease import StoreLease
from facegrid.storage.objects.s3 import S3ObjectStore
from facegrid.storage.objects.s3_client import S3Location
location = S3Location.parse(sys.argv[1])
lease = StoreLease(S3ObjectStore(location, 1), "elsewhere", lambda _: None, {LIFE_S})
lease.acquire()
store = S3ObjectStore(location, 1, lease.check)
for line in sys.stdin:
    try:
        store.put(line.strip(), b"")
        print("written", flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
"""


def test_a_server_that_slept_past_its_lease_writes_nothing(s3_server: Callable[[str], S3Server]) -> None:
    """The first write after its sleep is refused, also before its next renewal tells it who took over."""
    server = s3_server("minio")
    command = [sys.executable, "-c", OWNER, f"{server.url}/asleep"]
    with (
        closing(server.store("asleep")) as store,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner,
    ):
        try:
            assert tell(owner, "awake") == "written"
            owner.send_signal(signal.SIGSTOP)
            with closing(StoreLease(store, "here", lambda _: None, LIFE_S)) as heir:
                heir.acquire()
                say(owner, "late")
                owner.send_signal(signal.SIGCONT)
                assert answer(owner) in {"OSError", "LeaderUnavailable"}
                assert [key for key in store.keys("") if "/" not in key] == ["awake"]
                heir.check()
        finally:
            owner.kill()


def tell(owner: subprocess.Popen[str], key: str) -> str:
    """Let the owner write a key, and return what came of it."""
    say(owner, key)
    return answer(owner)


def say(owner: subprocess.Popen[str], key: str) -> None:
    """Name a key to the owner."""
    assert owner.stdin is not None
    owner.stdin.write(f"{key}\n")
    owner.stdin.flush()


def answer(owner: subprocess.Popen[str]) -> str:
    """Return what the owner says."""
    assert owner.stdout is not None
    return owner.stdout.readline().strip()
