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
from http.client import HTTPConnection
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_INSTALLING_S, _STARTING_S, _STOPPING_S = 200, 60, 2
_NODES = ("rootCoord", "dataCoord", "queryCoord", "queryNode", "dataNode", "indexNode")


def install_milvus() -> Path:
    """Return the folder of the server's program and libraries, which the first call fills.

    Raises OSError or subprocess.SubprocessError where the wheel that packs them can't be had.
    """
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


class MilvusServer:
    """A server on a folder, on ports of loopback that stay the same for all its lives.

    Only its etcd is on loopback alone. Its other ports are open on every interface, without a password, as
    long as the tests run: 2.3.5 has no setting against that, `proxy.ip` and the like being merely the
    addresses that its nodes tell each other.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        """Take its program and a folder; nothing runs yet."""
        self._programs, self._folder = programs, folder
        folder.mkdir(exist_ok=True)
        proxy, self._health, *others = _free_ports(11)
        self.uri = f"http://127.0.0.1:{proxy}"
        _configure(folder, proxy, others)

    def start(self) -> None:
        """Start it, and wait until it is healthy. The kernel kills it with the thread that started it."""
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", self._programs / "milvus", "run", "standalone"],
                cwd=self._folder,
                # Nothing of our own environment: variables override Milvus's settings.
                env={
                    "LD_LIBRARY_PATH": str(self._programs),
                    "MILVUSCONF": str(self._folder),
                    "METRICS_PORT": str(self._health),
                },
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        _wait_until_healthy(self._process, self._health, log)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it; 2.3.5 may wait for itself for ever after one SIGTERM."""
        self._process.terminate()
        try:
            self._process.wait(_STOPPING_S)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def running_milvus(programs: Path) -> Iterator[str]:
    """Start a server with an empty store, and give its URI once it is healthy."""
    with tempfile.TemporaryDirectory() as name:
        server = MilvusServer(programs, Path(name))
        server.start()
        try:
            yield server.uri
        finally:
            server.stop()


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


def _configure(folder: Path, proxy: int, others: Sequence[int]) -> None:
    """Write the files that the server reads; JSON is YAML."""
    internal, clients, peers, *nodes = others
    settings = {node: {"ip": "127.0.0.1", "port": port} for node, port in zip(_NODES, nodes, strict=True)}
    settings["queryCoord"]["checkChannelInterval"] = 100  # ms: collections load half a second sooner
    settings |= {
        "proxy": {"ip": "127.0.0.1", "port": proxy, "internalPort": internal},
        "etcd": {"use": {"embed": True}, "config": {"path": str(folder / "etcd.json")}},
        "mq": {"type": "rocksmq"},
        "rocksmq": {"path": str(folder / "rocksmq")},
        "common": {"storageType": "local"},
        "localStorage": {"path": str(folder / "data")},
    }
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
