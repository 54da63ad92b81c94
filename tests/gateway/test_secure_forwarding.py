"""Two servers with TLS: what the one passes on is done for whom it came from, and for nobody else."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from api import refusal
from certificates import AUDIENCE, LOOPBACK, Authority, Issuer, uri
from facegrid.gateway.server import GatewayServer
from facegrid.serving.security import open_security
from facegrid.settings import Settings
from facegrid.v1.gallery_service_pb2 import CreateGalleryRequest, GetGalleryRequest
from facegrid.v1.gallery_service_pb2_grpc import GalleryServiceStub
from fakes import FakeVision
from gateway.conftest import servicers_of
from house import House, build_house

_POLICY = """
servers = ["spiffe://test/server/follower"]

[roles]
keeper = ["admin", "verify"]
gate = ["verify"]

[[grants]]
role = "keeper"
principals = ["spiffe://test/keeper", "keeper"]
galleries = ["border-*"]

[[grants]]
role = "gate"
principals = ["spiffe://test/gate", "gate"]
galleries = ["*"]
"""
Call = Callable[..., Any]


class Pair:
    """A leader and a follower over the same use cases, as on a shared store."""

    def __init__(self, house: House, folder: Path, authority: Authority, issuer: Issuer) -> None:
        """Take what both need."""
        self._house, self._folder, self._authority, self._issuer = house, folder, authority, issuer
        self._stack = AsyncExitStack()

    async def start(self, name: str, *, certificates: bool, tokens: bool, **settings: Any) -> str:
        """Start one of them."""
        certificate, key = self._authority.issue(name, LOOPBACK, uri(f"server/{name}"), folder=self._folder)
        given: dict[str, Any] = {
            "tls_certificate": certificate,
            "tls_key": key,
            "tls_server_ca": self._authority.file,
            "auth_policy": self._folder / "policy.toml",
        }
        if certificates:
            given["tls_client_ca"] = self._authority.file
        if tokens:
            given |= {"auth_jwks": str(self._issuer.jwks), "auth_audience": AUDIENCE}
        security = open_security(Settings(**given | settings))
        server = GatewayServer(
            servicers_of(self._house, security.access), 64 * 1024, 8, self._house.metrics, security
        )
        self._stack.push_async_callback(server.stop, 0)
        setattr(self, name, server)
        return f"127.0.0.1:{await server.start('127.0.0.1:0')}"

    async def both(self, **kinds: bool) -> str:
        """Start both with the same kinds of callers; returns the follower's address."""
        leader = await self.start("leader", **kinds)
        follower = await self.start("follower", **kinds)
        self.follower.follow(leader)
        return follower

    async def create(self, address: str, gallery: str, caller: str, *pairs: tuple[str, Any]) -> str:
        """Make a gallery, as /NAME of a certificate or NAME of a token; returns the outcome."""
        key = certificate = None
        if caller.startswith("/"):
            own = self._authority.issue("caller", uri(caller[1:]), folder=self._folder)
            certificate, key = (path.read_bytes() for path in own)
        else:
            pairs = (*pairs, ("authorization", f"Bearer {self._issuer.token(caller)}"))
        credentials = grpc.ssl_channel_credentials(self._authority.file.read_bytes(), key, certificate)
        async with grpc.aio.secure_channel(address, credentials) as channel:
            stub = GalleryServiceStub(channel)
            try:
                await stub.CreateGallery(CreateGalleryRequest(name=gallery), metadata=pairs, timeout=10)
                await stub.GetGallery(GetGalleryRequest(name=gallery), metadata=pairs, timeout=10)
            except grpc.aio.AioRpcError as error:
                return error.code().name
        return "OK"

    async def stop(self) -> None:
        """Stop both."""
        await self._stack.aclose()


@pytest.fixture
async def pair(tmp_path: Path, authority: Authority, issuer: Issuer) -> AsyncIterator[Pair]:
    """Yield a pair whose servers are not started."""
    (tmp_path / "policy.toml").write_text(_POLICY)
    house = build_house(tmp_path / "data", FakeVision())
    made = Pair(house, tmp_path, authority, issuer)
    yield made
    await made.stop()
    house.close()


async def test_a_token_passes_on(pair: Pair) -> None:
    """The leader reads the caller's own token, where no server has a certificate that says who it is."""
    follower = await pair.both(certificates=False, tokens=True)
    assert await pair.create(follower, "border-1", "keeper") == "OK"
    assert await pair.create(follower, "staff", "keeper") == "PERMISSION_DENIED"
    assert await pair.create(follower, "border-2", "gate") == "PERMISSION_DENIED"


async def test_the_name_in_a_certificate_passes_on(pair: Pair) -> None:
    """The follower says for whom it calls, and the leader judges that caller and not the follower."""
    follower = await pair.both(certificates=True, tokens=False)
    assert await pair.create(follower, "border-1", "/keeper") == "OK"
    assert await pair.create(follower, "border-2", "/gate") == "PERMISSION_DENIED"
    assert (await pair._house.galleries.get("border-1")).name == "border-1"


async def test_a_caller_cannot_say_that_it_is_another(pair: Pair) -> None:
    """What a client sends as a server would is refused by either, or taken away."""
    follower = await pair.both(certificates=True, tokens=True)
    claimed = ("facegrid-principal-bin", b"spiffe://test/keeper")
    assert await pair.create(follower, "border-1", "/gate", claimed) == "UNAUTHENTICATED"
    with_token = ("authorization", f"Bearer {pair._issuer.token('gate')}")
    assert await pair.create(follower, "border-1", "/gate", claimed, with_token) == "PERMISSION_DENIED"


async def test_a_server_that_the_policy_does_not_name_calls_for_nobody(pair: Pair) -> None:
    """Its certificate is that of a client like others."""
    (pair._folder / "policy.toml").write_text(_POLICY.replace("server/follower", "server/another"))
    follower = await pair.both(certificates=True, tokens=False)
    assert await pair.create(follower, "border-1", "/keeper") == "UNAUTHENTICATED"


async def test_a_token_that_the_leader_does_not_read_is_not_made_up_for(pair: Pair) -> None:
    """Where the two are set up differently, the follower's own name opens nothing."""
    leader = await pair.start("leader", certificates=True, tokens=False)
    follower = await pair.start("follower", certificates=False, tokens=True)
    pair.follower.follow(leader)
    assert await pair.create(follower, "border-1", "keeper") == "UNAUTHENTICATED"


async def test_a_leader_without_the_right_certificate_is_told_nothing(pair: Pair, tmp_path: Path) -> None:
    """A server of another authority is no leader, and no token reaches it."""
    leader = await pair.start("leader", certificates=False, tokens=True)
    other = Authority(tmp_path, "other")
    follower = await pair.start("follower", certificates=False, tokens=True, tls_server_ca=other.file)
    pair.follower.follow(leader)
    assert await pair.create(follower, "border-1", "keeper") == "UNAVAILABLE"


@pytest.mark.parametrize(
    ("host", "outcome"), [("127.0.0.1", "UNAUTHENTICATED"), ("ipv4:127.0.0.1", "LEADER_UNAVAILABLE")]
)
async def test_no_token_leaves_the_machine_in_the_clear(pair: Pair, host: str, outcome: str) -> None:
    """Without TLS a leader that does not look like this machine is none; the second is and does not."""
    plain = {"tls_certificate": None, "tls_key": None, "tls_server_ca": None}
    address = await pair.start("follower", certificates=False, tokens=True, **plain)
    leader = await pair.start("leader", certificates=False, tokens=True, **plain, auth_audience="another")
    pair.follower.follow(leader.replace("127.0.0.1", host))
    async with grpc.aio.insecure_channel(address) as channel:
        bearer = ("authorization", f"Bearer {pair._issuer.token('keeper')}")
        call = GalleryServiceStub(channel).CreateGallery(
            CreateGalleryRequest(name="border-1"), metadata=[bearer], timeout=10
        )
        assert (await refusal(call))[1] == outcome


async def test_new_certificates_count_for_what_is_passed_on(pair: Pair, authority: Authority) -> None:
    """The follower shows the certificate that its file holds, without being started again."""
    follower = await pair.both(certificates=True, tokens=False)
    assert await pair.create(follower, "border-1", "/keeper") == "OK"
    authority.issue("follower", LOOPBACK, uri("server/renamed"), folder=pair._folder)
    assert await pair.create(follower, "border-2", "/keeper") == "UNAUTHENTICATED"
    authority.issue("follower", LOOPBACK, uri("server/follower"), folder=pair._folder)
    assert await pair.create(follower, "border-2", "/keeper") == "OK"
    (pair._folder / "follower.key").unlink()
    assert await pair.create(follower, "border-3", "/keeper") == "OK"
