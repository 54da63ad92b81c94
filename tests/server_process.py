"""A server as an operator starts it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SERVE = [sys.executable, "-m", "facegrid.cli", "serve", "--log-format", "json"]


class ServerProcess:
    """`facegrid serve` on a free port; `address` is known once it serves."""

    def __init__(self, data: Path, models: Path, *flags: str) -> None:
        """Start it."""
        self.environment = os.environ | {"FACEGRID_MODELS": str(models), "FACEGRID_DATA": str(data)}
        self.process = subprocess.Popen(
            [*SERVE, "--listen", "127.0.0.1:0", *flags],
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.address = self.log = ""

    def wait(self) -> None:
        """Read its log up to the line that says where it serves."""
        for line in self.process.stderr or ():
            entry: dict[str, str] = json.loads(line)
            if entry["event"] == "serving":
                self.address = entry["address"]
                return
        pytest.fail("the server ended before it served")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code; `log` has what it wrote after it began to serve."""
        self.process.send_signal(number)
        _, self.log = self.process.communicate(timeout=60)
        return self.process.returncode
