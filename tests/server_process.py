"""`facegrid serve` as an operator runs it: a process with an address and a log."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SERVE = [sys.executable, "-m", "facegrid.cli", "serve", "--log-format", "json"]


class ServerProcess:
    """A server on a free port; `address` is known once it serves, at the latest after `start_s`."""

    start_s = 60
    end_s = 60

    def __init__(self, data: Path, models: Path, *flags: str) -> None:
        """Start it."""
        self.environment = os.environ | {"FACEGRID_MODELS": str(models), "FACEGRID_DATA": str(data)}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the process
        self.process = subprocess.Popen(
            [*SERVE, "--listen", "127.0.0.1:0", *flags], env=self.environment, stderr=self._log
        )
        self.address = self.log = ""

    def wait(self) -> None:
        """Wait until it says where it serves. Raises RuntimeError with its log where it ends before."""
        deadline = time.monotonic() + self.start_s
        while not self.address and self.process.poll() is None and time.monotonic() < deadline:
            self.address = self._announced()
            time.sleep(0.02)
        if not self.address:
            ended = self.process.poll()
            self.end(signal.SIGKILL)
            raise RuntimeError(f"the server did not start (exit code {ended}):\n{self.log}")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code; `log` has all that it wrote."""
        self.process.send_signal(number)
        code = self.process.wait(timeout=self.end_s)
        if not self._log.closed:
            self.log = self._logged()
            self._log.close()
        return code

    def _announced(self) -> str:
        lines = self._logged().splitlines(keepends=True)
        entries = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]
        return next((entry["address"] for entry in entries if entry["event"] == "serving"), "")

    def _logged(self) -> str:
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode()  # read() would move where it writes
