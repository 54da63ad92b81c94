"""A Milvus server for the tests: 2.3.5, the newest one that can be had from a package index."""

import json
import lzma
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).resolve().parents[1]
_INSTALLING_S, _STARTING_S, _SESSION_S = 200, 60, 10
_NODES = ("rootCoord", "dataCoord", "queryCoord", "queryNode", "dataNode", "indexNode")


def milvus_programs() -> Path:
    """Return the folder of the server's program and libraries; skips where they cannot be had."""
    try:
        return _install()
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"Milvus 2.3.5 can't be installed ({error}); set FACEGRID_TEST_MILVUS_URI to a server's")


def _install() -> Path:
    """Unpack the wheel that packs the server, where that was not done."""
    programs = _ROOT / ".tools" / "milvus-2.3.5"
    if not programs.exists():
        programs.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=programs.parent) as work:
            for command in _install_commands(Path(work, "venv"), "milvus==2.3.5"):
                subprocess.run(command, check=True, capture_output=True, timeout=_INSTALLING_S)
            unpacked = Path(work, "unpacked")
            unpacked.mkdir()
            for packed in Path(work).glob("venv/lib/*/site-packages/milvus/data/bin/*.lzma"):
                (unpacked / packed.stem).write_bytes(lzma.decompress(packed.read_bytes()))
            (unpacked / "milvus").chmod(0o755)
            unpacked.rename(programs)
    return programs


@dataclass
class MilvusServer:
    """A server on a folder, on the same ports in all its lives.

    Only its etcd is on loopback alone. Its other ports are open on every interface, without a password, as
    long as the tests run: 2.3.5 has no setting against that, `proxy.ip` and the like being merely the
    addresses that its nodes tell each other. The kernel kills it with the thread that started it.
    """

    programs: Path
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    ports: list[int] = field(default_factory=lambda: _free_ports(11))
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Return where it is."""
        return f"http://127.0.0.1:{self.ports[0]}"

    def start(self) -> None:
        """Start it, and wait until it is healthy; collections take longer. Raises RuntimeError."""
        self.folder.mkdir(exist_ok=True)
        _configure(self.folder, self.ports[0], self.ports[2:], self.settings)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", self.programs / "milvus", "run", "standalone"],
                cwd=self.folder,
                # Nothing of our own environment: variables override Milvus's settings.
                env={
                    "LD_LIBRARY_PATH": str(self.programs),
                    "MILVUSCONF": str(self.folder),
                    "METRICS_PORT": str(self.ports[1]),
                },
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        _wait_until_healthy(self.process, self.ports[1], self.folder / "log")

    def kill(self) -> None:
        """End it as a power cut does."""
        if self.process:
            self.process.kill()
            self.process.wait()


@contextmanager
def running_milvus(programs: Path, settings: dict[str, Any] | None = None) -> Iterator[MilvusServer]:
    """Run a server with an empty store; `settings` are some of milvus.yaml's."""
    with tempfile.TemporaryDirectory() as folder:
        server = MilvusServer(programs, Path(folder), settings or {})
        try:
            server.start()
            yield server
        finally:
            server.kill()  # after one SIGTERM 2.3.5 may wait for itself for ever


def _install_commands(environment: Path, package: str) -> Iterator[Sequence[str | Path]]:
    """Say how a virtual environment with a package is made: by uv, or where there is none by venv and pip."""
    uv = shutil.which("uv", path=os.pathsep.join([os.environ["PATH"], str(_ROOT / ".uv" / "bin")]))
    if uv:
        yield uv, "venv", "--python", sys.executable, environment
        yield uv, "pip", "install", "--python", environment / "bin" / "python", package
    else:
        yield sys.executable, "-m", "venv", environment
        yield environment / "bin" / "pip", "install", package


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [taken.getsockname()[1] for taken in sockets]


def _configure(folder: Path, proxy: int, others: Sequence[int], more: dict[str, Any]) -> None:
    """Write the files that the server reads; JSON is YAML."""
    internal, clients, peers, *nodes = others
    settings = {node: {"ip": "127.0.0.1", "port": port} for node, port in zip(_NODES, nodes, strict=True)}
    settings["queryCoord"]["checkChannelInterval"] = 100  # ms: collections load half a second sooner
    settings |= {
        "proxy": {"ip": "127.0.0.1", "port": proxy, "internalPort": internal},
        "etcd": {"use": {"embed": True}, "config": {"path": str(folder / "etcd.json")}},
        "mq": {"type": "rocksmq"},
        "rocksmq": {"path": str(folder / "rocksmq")},
        # What a killed server held is loaded again when its session ends: 60 s, were it not for this.
        "common": {"storageType": "local", "session": {"ttl": _SESSION_S}},
        "localStorage": {"path": str(folder / "data")},
    }
    settings["common"] |= more.get("common", {})
    settings = more | settings
    etcd = {"data-dir": str(folder / "etcd"), "initial-cluster": f"default=http://127.0.0.1:{peers}"}
    etcd |= dict.fromkeys(("listen-client-urls", "advertise-client-urls"), f"http://127.0.0.1:{clients}")
    etcd |= dict.fromkeys(("listen-peer-urls", "initial-advertise-peer-urls"), f"http://127.0.0.1:{peers}")
    (folder / "milvus.yaml").write_text(json.dumps(settings))
    (folder / "etcd.json").write_text(json.dumps(etcd))
    (folder / "glog.conf").touch()


def _wait_until_healthy(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Poll the health endpoint. Raises RuntimeError with the end of the log."""
    deadline = time.monotonic() + _STARTING_S
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"Milvus did not start; its log ends with\n{log.read_text()[-4000:]}")
