"""`facegrid serve --ray` as an operator runs it, and the Ray processes below it."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import yaml

from server_process import ServerProcess

_LISTENS = "0A"  # of /proc/net/tcp6
DEPLOYMENTS = Path(__file__).parents[1] / "deploy" / "serve.yaml"
_CALLERS = 6
_POLICY = {
    "maxAttempts": 5,
    "initialBackoff": "1s",
    "maxBackoff": "5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}
# What a client needs to see no failed call while its only gateway is replaced.
PATIENT = [
    ("grpc.service_config", json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": _POLICY}]})),
    ("grpc.per_rpc_retry_buffer_size", 16 * 2**20),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


def deployments(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the deployments of a Serve configuration by name."""
    return {one["name"]: one for one in config["applications"][0]["deployments"]}


class RayServer(ServerProcess):
    """A Ray of its own with the application on it."""

    start_s = 150
    end_s = 150

    def __init__(self, folder: Path, models: Path, **changes: dict[str, Any]) -> None:
        """Start it with what deploy/serve.yaml says, changed for some deployments."""
        self._config: dict[str, Any] = yaml.safe_load(DEPLOYMENTS.read_text("utf-8"))
        self._path = folder / "serve.yaml"
        self._write(changes)
        with socket.create_server(("127.0.0.1", 0)) as unused:
            listen = f"127.0.0.1:{unused.getsockname()[1]}"
        super().__init__(folder / "data", models, "--ray", str(self._path), "--listen", listen)

    def deploy(self, **changes: dict[str, Any]) -> None:
        """Change some deployments while they run."""
        self._write(changes)
        self.process.send_signal(signal.SIGHUP)

    def deploy_settings(self, **settings: Any) -> None:
        """Change settings while it runs."""
        self._config["applications"][0]["args"]["settings"] = settings
        self.deploy()

    def _write(self, changes: dict[str, dict[str, Any]]) -> None:
        for name, values in changes.items():
            deployments(self._config)[name].update(values)
        self._path.write_text(yaml.safe_dump(self._config), "utf-8")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code; SIGKILL takes all of Ray along."""
        below = self.descendants() if number == signal.SIGKILL else []
        try:
            return super().end(number)
        finally:
            for pid in below:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def replicas(self, name: str) -> list[int]:
        """Return the process ids of a deployment's replicas, or of another Ray process by its title."""
        title = {"Controller": "ray::ServeController"}.get(name, f"ray::ServeReplica:facegrid:{name}")
        return [pid for pid in self.descendants() if _command(pid).startswith(title)]

    def kill(self, name: str) -> None:
        """End one of them with SIGKILL and see it go."""
        pid = self.replicas(name)[0]
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: pid not in self.replicas(name), f"the end of {name}")

    def open_ports(self, name: str) -> list[int]:
        """Return the ports on which the first of them listens beyond loopback."""
        pid = self.replicas(name)[0]
        sockets = set()
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                sockets.add(str(path.readlink()))
        rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp6").read_text("utf-8").splitlines()[1:]]
        return [
            int(local.rpartition(":")[2], 16)
            for _, local, _, state, *_, inode in (row[:10] for row in rows)
            if state == _LISTENS and set(local.split(":")[0]) == {"0"} and f"socket:[{inode}]" in sockets
        ]

    def descendants(self) -> list[int]:
        """Return the ids of all processes below the server's."""
        running = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
        parents = {pid: _parent(pid) for pid in running}
        found = [self.process.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found[1:]


def eventually(reached: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait until something is true. Raises AssertionError that names it."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"{what} was not seen within {seconds} s"
        time.sleep(0.2)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:  # it has ended
        return ""


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1])
    except OSError:
        return 0


@contextmanager
def under_load(call: Callable[[], object]) -> Iterator[list[str]]:
    """Call again and again from several threads; yields what each call came to, which ends with the block."""
    outcomes: list[str] = []
    stopping = threading.Event()

    def work() -> None:
        while not stopping.is_set():
            try:
                call()
                outcomes.append("")
            except grpc.RpcError as error:
                outcomes.append(str(error))

    with ThreadPoolExecutor(_CALLERS) as threads:
        for _ in range(_CALLERS):
            threads.submit(work)
        try:
            yield outcomes
        finally:
            stopping.set()
