"""Metrics of a server that runs."""

import socket
from collections.abc import Callable
from urllib.request import ProxyHandler, build_opener

import pytest
from typer.testing import CliRunner

from facegrid.cli.main import app
from facegrid.client import Client
from server_process import ServerProcess


@pytest.mark.integration
def test_a_running_server_is_scraped(
    start: Callable[..., ServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was called, and the galleries that there are, stand on the page."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("FACEGRID_METRICS", f"127.0.0.1:{port}")
    with Client(start().address) as client:
        client.create_gallery("staff")
    page = build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    assert 'facegrid_calls_total{code="OK",method="CreateGallery"} 1.0' in page
    assert 'facegrid_gallery_subjects{gallery="staff"} 0.0' in page


def test_metrics_that_others_reach_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """They know no callers: only loopback is taken, unless the operator insists."""
    monkeypatch.setenv("FACEGRID_METRICS", "0.0.0.0:9464")
    refused = CliRunner().invoke(app, ["serve", "--listen", "127.0.0.1:0"])
    assert refused.exit_code == 1
    assert "the metrics at 0.0.0.0:9464 can be read from other machines" in refused.stderr
