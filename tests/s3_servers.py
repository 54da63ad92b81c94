"""S3 servers for the tests: MinIO, and versitygw, which is still maintained. `make tools` builds them."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from facegrid.storage.objects.s3 import S3ObjectStore
from facegrid.storage.objects.s3_client import S3Location

_TOOLS = Path(__file__).resolve().parents[1] / ".tools"
_STARTING_S = 30
_MEMORY, _ROOM = Path("/dev/shm"), 2**30  # noqa: S108  # a folder of our own in it
KEYS = {"AWS_ACCESS_KEY_ID": "facegrid-tests", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}


@dataclass
class S3Server:
    """A server on a folder, on one port of loopback for all its lives."""

    command: list[str | Path]
    environment: dict[str, str]
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the URL of the bucket `tests`, which the store may make."""
        return f"http://127.0.0.1:{self.port}/tests"

    def store(self, prefix: str = "", port: int = 0) -> S3ObjectStore:
        """Return the store of a prefix of the bucket, which it makes; through a proxy's port, if given."""
        url = f"http://127.0.0.1:{port or self.port}/tests/{prefix}"
        store = S3ObjectStore(S3Location.parse(url), connections=16)
        store.make_bucket()
        return store

    def start(self) -> None:
        """Start it, and wait until it answers. The kernel kills it with the thread that started it."""
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *self.command],
            env=os.environ | self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _STARTING_S
        while self.process.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.command[0]} did not start on port {self.port}")

    def kill(self) -> None:
        """End it as a power cut does."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        with suppress(OSError, HTTPException), closing(connection):
            connection.request("GET", "/minio/health/live")
            return connection.getresponse().status < 500
        return False


def make_server(kind: str, folder: Path) -> S3Server:
    """Return a server that is not started, `minio` or `versitygw`; skips where it was not built."""
    port = free_port()
    address, data = f"127.0.0.1:{port}", folder / "data"
    data.mkdir()
    if kind == "minio":
        keys = dict(zip(("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"), KEYS.values(), strict=True))
        flags = ["server", str(data), "--address", address, "--console-address", f"127.0.0.1:{free_port()}"]
        environment = {**keys, "MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "HOME": str(folder)}
    else:
        keys = dict(zip(("ROOT_ACCESS_KEY_ID", "ROOT_SECRET_ACCESS_KEY"), KEYS.values(), strict=True))
        flags = ["--port", address, "posix", "--sidecar", str(folder / "sidecar"), str(data)]
        (folder / "sidecar").mkdir()
        environment = {**keys, "HOME": str(folder)}
    return S3Server([_program(kind), *flags], environment, port)


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """Make a folder, in memory where there is room: a server's thousands of files go faster there."""
    memory = _MEMORY if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@contextmanager
def running_s3(server: S3Server) -> Iterator[S3Server]:
    """Run a server; the environment has its keys, and lets `facegrid` make the bucket."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**KEYS, "FACEGRID_STORE_CREATE_BUCKET": "true"}.items():
            patch.setenv(name, value)
        server.start()
        try:
            yield server
        finally:
            server.kill()


def on_small_disk(command: Sequence[str | Path], folder: Path, size: str) -> list[str | Path]:
    """Return a command that runs another with a disk of its own in a folder; skips where none can be had."""
    mount = f'mount -t tmpfs -o size={size} none "$0" && exec "$@"'
    private: list[str | Path] = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, folder]
    if (
        not shutil.which("unshare")
        or subprocess.run([*private, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("this machine lets us mount no disk of our own")
    return [*private, *command]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _program(kind: str) -> Path:
    programs = list(_TOOLS.glob(f"{kind}-*/{kind}"))
    if not programs:
        pytest.skip(f"{kind} is not built; `make tools` does that where Go is")
    return max(programs, key=lambda program: program.stat().st_mtime)
