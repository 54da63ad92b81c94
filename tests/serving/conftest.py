"""Servers that end with the test."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server_process import ServerProcess


@pytest.fixture
def start(tmp_path: Path, open_pack_root: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Yield a function that starts servers on one data folder; those left are killed at the end."""
    started: list[ServerProcess] = []

    def start_one(*flags: str, data: str = "data") -> ServerProcess:
        started.append(ServerProcess(tmp_path / data, open_pack_root, *flags))
        started[-1].wait()
        return started[-1]

    yield start_one
    for server in started:
        if server.process.poll() is None:
            server.end(signal.SIGKILL)
