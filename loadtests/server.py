"""A server in a process of its own, for measurements from outside it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server listens, and its process id."""

    address: str
    pid: int


@contextmanager
def running(models: Path, pack: str, **settings: str) -> Iterator[Server]:
    """Run `facegrid serve` on a folder of packs; each setting is a FACEGRID_ variable without its prefix."""
    with tempfile.TemporaryDirectory() as data:
        variables = {"data": data, "models": str(models), "pack": pack, **settings}
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "facegrid.cli",
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--log-format",
                "json",
            ],
            env=os.environ | {f"FACEGRID_{name.upper()}": value for name, value in variables.items()},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            address = _address(process)
            # Left unread, the log would fill its pipe and hold the server up.
            Thread(target=deque, args=(process.stderr, 0), daemon=True).start()
            yield Server(address, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _address(process: "subprocess.Popen[str]") -> str:
    """Read the log up to the line that says where it serves."""
    for line in process.stderr or ():
        entry: dict[str, str] = json.loads(line)
        if entry["event"] == "serving":
            return entry["address"]
    raise SystemExit("the server ended before it served; start `facegrid serve` to see why")
