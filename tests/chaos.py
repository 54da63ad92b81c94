"""What tests that kill at random share: how often, by which seed, and how a server is left."""

import os
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server_process import ServerProcess

KILLS = int(os.environ.get("FACEGRID_CHAOS_KILLS", "30"))
SEED = int(os.environ.get("FACEGRID_CHAOS_SEED", "0")) or random.randrange(1, 2**32)
WRITERS = 4


def started(data: Path, models: Path) -> ServerProcess:
    """Start a server and wait until it serves."""
    server = ServerProcess(data, models)
    server.wait()
    return server


@contextmanager
def killed(server: ServerProcess) -> Iterator[None]:
    """Leave no server behind, whatever fails."""
    try:
        yield
    finally:
        server.end(signal.SIGKILL)


def say(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Tell whoever waits how far a test is."""
    with capsys.disabled():
        sys.stdout.write(text)
        sys.stdout.flush()
