"""Servers with TLS and a policy, as an operator starts them: alone, and two on one bucket and one Milvus."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from certificates import AUDIENCE, Authority, Issuer, uri
from facegrid.cli.main import app
from facegrid.client import CallFailed, Client, Credentials
from ray_server import RayServer
from s3_servers import S3Server
from server_process import ServerProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

_POLICY = """
servers = ["spiffe://test/server/server"]

[roles]
keeper = ["admin", "verify", "enroll"]
gate = ["verify"]

[[grants]]
role = "keeper"
principals = ["spiffe://test/keeper"]
groups = ["keepers"]
galleries = ["*"]

[[grants]]
role = "gate"
principals = ["spiffe://test/gate"]
galleries = ["border-*"]

[[purposes]]
galleries = ["border-*"]
allowed = ["entry"]
"""
_LONGEST_S = 90


@pytest.fixture
def secured(tmp_path: Path, authority: Authority, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the servers that are started have certificates, keys of tokens and a policy."""
    certificate, key = authority.issue_server()
    (tmp_path / "policy.toml").write_text(_POLICY)
    settings = {
        "TLS_CERTIFICATE": certificate,
        "TLS_KEY": key,
        "TLS_CLIENT_CA": authority.file,
        "TLS_SERVER_CA": authority.file,
        "AUTH_JWKS": issuer.jwks,
        "AUTH_AUDIENCE": AUDIENCE,
        "AUTH_POLICY": tmp_path / "policy.toml",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"FACEGRID_{name}", str(value))


@pytest.fixture
def client(authority: Authority) -> Iterator[Callable[..., Client]]:
    """Yield what makes clients of a name, by a certificate, and by a token where there is one."""
    with ExitStack() as stack:

        def connect(address: str, name: str, token: str = "", purpose: str = "entry") -> Client:
            certificate, key = authority.issue(name, uri(name))
            credentials = Credentials(authority.file, certificate, key, (lambda: token) if token else None)
            return stack.enter_context(Client(address, credentials=credentials, purpose=purpose))

        yield connect


def _reason(call: Callable[[], object]) -> str:
    try:
        call()
    except CallFailed as failure:
        return failure.reason or str(failure)
    return "OK"


@pytest.mark.usefixtures("secured")
def test_a_command_shows_who_it_is(
    start: Callable[..., ServerProcess],
    client: Callable[..., Client],
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The environment says with which certificate commands call, whom they trust, and for which purpose."""
    server = start()
    client(server.address, "keeper").create_gallery("border-1")
    certificate, key = authority.issue("gate", uri("gate"))
    monkeypatch.setenv("FACEGRID_SERVER", server.address)
    for name, value in {"CA": authority.file, "CERTIFICATE": certificate, "KEY": key}.items():
        monkeypatch.setenv(f"FACEGRID_CLIENT_{name}", str(value))

    def run(*words: str, **said: str) -> Result:
        return CliRunner().invoke(app, ["gallery", *words], env=said)

    assert "PERMISSION_DENIED" in run("show", "border-1").stderr
    shown = run("show", "border-1", FACEGRID_CLIENT_PURPOSE="entry")
    assert (shown.exit_code, "border-1" in shown.stdout) == (0, True), shown.stderr
    assert "PERMISSION_DENIED" in run("create", "border-2").stderr
    assert "GALLERY_NOT_FOUND" in run("show", "staff").stderr
    missing = run("list", FACEGRID_CLIENT_TOKEN="no-token")  # noqa: S106  # a file
    assert (missing.exit_code, "no-token: No such file" in missing.stderr) == (1, True)
    assert server.end() == 0
    assert "spiffe://test/gate" in server.log


@pytest.mark.usefixtures("secured")
def test_a_gateway_on_ray_knows_its_callers(
    tmp_path: Path, open_pack_root: Path, client: Callable[..., Client]
) -> None:
    """It takes the same settings, from the environment that it inherits."""
    server = RayServer(tmp_path, open_pack_root)
    try:
        server.wait()
        client(server.address, "keeper").create_gallery("staff")
        assert _reason(lambda: client(server.address, "gate").create_gallery("x")) == "PERMISSION_DENIED"
        assert list(client(server.address, "gate").list_galleries()) == []
        with Client(server.address, 5) as stranger, pytest.raises(CallFailed, match="certificates"):
            stranger.get_gallery("staff")
    finally:
        server.end(signal.SIGKILL)


@pytest.mark.usefixtures("secured")
def test_two_servers_know_the_same_callers(  # noqa: PLR0917  # fixtures
    start: Callable[..., ServerProcess],
    client: Callable[..., Client],
    issuer: Issuer,
    s3_server: Callable[[str], S3Server],
    milvus_uri: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A mutation is judged by the leader, and a server that takes over judges like it."""
    monkeypatch.setenv("FACEGRID_STORE", f"{s3_server('minio').url}/secure-{uuid4().hex}")
    monkeypatch.setenv("FACEGRID_MILVUS", milvus_uri)
    first, second = (start(data=name) for name in "ab")
    leader, follower = first.address, second.address
    keeper, gate = client(follower, "keeper"), client(follower, "gate")
    _when_there_is_a_leader(lambda: keeper.create_gallery("border-1"))
    client(follower, "other", issuer.token("ann", groups=["keepers"])).create_gallery("staff")
    assert _reason(lambda: gate.create_gallery("border-2")) == "PERMISSION_DENIED"
    assert _reason(lambda: client(follower, "nobody").create_gallery("x")) == "PERMISSION_DENIED"
    for address in (leader, follower):
        assert [one.name for one in client(address, "gate").list_galleries()] == ["border-1"]
    assert [one.name for one in keeper.list_galleries()] == ["border-1", "staff"]
    first.end(signal.SIGKILL)
    _when_there_is_a_leader(lambda: keeper.create_gallery("later"))
    assert [one.name for one in gate.list_galleries()] == ["border-1"]
    assert _reason(lambda: gate.create_gallery("border-2")) == "PERMISSION_DENIED"


def _when_there_is_a_leader(change: Callable[[], object]) -> None:
    deadline = time.monotonic() + _LONGEST_S
    while (reason := _reason(change)) == "LEADER_UNAVAILABLE":
        assert time.monotonic() < deadline
    assert reason == "OK"
