"""Certificates and tokens over a real TLS connection: who is let in, and who is not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from certificates import AUDIENCE, BAD_TOKENS, ISSUER, LOOPBACK, Authority, Issuer, uri
from facegrid.gateway import server as server_module
from facegrid.gateway.server import GatewayServer
from facegrid.serving.security import open_security
from facegrid.settings import Settings
from facegrid.v1.gallery_service_pb2 import CreateGalleryRequest, GetGalleryRequest, ListGalleriesRequest
from facegrid.v1.gallery_service_pb2_grpc import GalleryServiceStub
from fakes import FakeVision
from gateway.conftest import servicers_of
from house import build_house

_POLICY = """
[roles]
keeper = ["admin", "verify"]
gate = ["verify"]
registrar = ["enroll"]

[[grants]]
role = "keeper"
principals = ["keeper", "spiffe://test/keeper", "keeper.test", "keeper@test"]
galleries = ["*"]

[[grants]]
role = "gate"
principals = ["spiffe://test/gate/*"]
groups = ["gates"]
galleries = ["border-*"]

[[grants]]
role = "registrar"
groups = ["gates"]
galleries = ["b"]
"""
Connect = Callable[..., grpc.aio.Channel]
Serve = Callable[..., Awaitable[str]]


@pytest.fixture
async def serve(tmp_path: Path, authority: Authority) -> AsyncIterator[Serve]:
    """Start servers with TLS and the policy above; each has further settings of its own."""
    certificate, key = authority.issue_server()
    (tmp_path / "policy.toml").write_text(_POLICY)
    house = build_house(tmp_path / "data", FakeVision())
    async with AsyncExitStack() as stack:
        stack.callback(house.close)

        async def start(**settings: Any) -> str:
            given = {"tls_certificate": certificate, "tls_key": key, "auth_policy": tmp_path / "policy.toml"}
            security = open_security(Settings(**given | settings))
            servicers = servicers_of(house, security.access)
            server = GatewayServer(servicers, 1_000_000, 8, house.metrics, security)
            address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
            stack.push_async_callback(server.stop, 0)
            await server.set_serving(serving=True)
            return address

        yield start


@pytest.fixture
async def connect(authority: Authority) -> AsyncIterator[Connect]:
    """Connect by TLS, with a certificate or a token."""
    async with AsyncExitStack() as stack:

        def open_channel(
            address: str, own: tuple[Path, Path] | None = None, token: str = ""
        ) -> grpc.aio.Channel:
            certificate, key = (path.read_bytes() for path in own) if own else (None, None)
            credentials = grpc.ssl_channel_credentials(authority.file.read_bytes(), key, certificate)
            if token:
                bearer = grpc.access_token_call_credentials(token)
                credentials = grpc.composite_channel_credentials(credentials, bearer)
            channel = grpc.aio.secure_channel(address, credentials)
            stack.push_async_callback(channel.close)
            return channel

        yield open_channel


async def _code(call: Awaitable[object]) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


def _create(channel: grpc.aio.Channel, name: str) -> Awaitable[Any]:
    return GalleryServiceStub(channel).CreateGallery(CreateGalleryRequest(name=name))


async def _listed(channel: grpc.aio.Channel, **metadata: str | bytes) -> str:
    pairs = [(key.replace("_", "-"), value) for key, value in metadata.items()]
    return await _code(
        GalleryServiceStub(channel).ListGalleries(ListGalleriesRequest(), timeout=5, metadata=pairs)
    )


async def test_a_certificate_says_who_calls(serve: Serve, connect: Connect, authority: Authority) -> None:
    """A SPIFFE id is the principal; what its role does not allow is refused."""
    address = await serve(tls_client_ca=authority.file)
    gate = connect(address, authority.issue("gate", uri("gate/7")))
    assert await _listed(gate) == "OK"
    assert await _code(_create(gate, "border-1")) == "PERMISSION_DENIED"


@pytest.mark.parametrize("name", [x509.DNSName("keeper.test"), x509.RFC822Name("keeper@test")])
async def test_other_names_of_a_certificate_count(
    serve: Serve, connect: Connect, authority: Authority, name: x509.GeneralName
) -> None:
    """A DNS name or an e-mail address is the principal where there is no URI."""
    address = await serve(tls_client_ca=authority.file)
    assert await _listed(connect(address, authority.issue("named", name))) == "OK"


_CERTIFICATES: dict[str, tuple[Callable[[Authority, Path], tuple[Path, Path] | None], str]] = {
    "no certificate": (lambda *_: None, "UNAVAILABLE"),
    "wrong CA": (
        lambda _, folder: Authority(folder, "other").issue("gate", uri("gate/7")),
        "UNAVAILABLE",
    ),
    "expired certificate": (
        lambda authority, _: authority.issue("expired", uri("gate/7"), valid_for_s=-60),
        "UNAVAILABLE",
    ),
    "no name but the common one": (lambda authority, _: authority.issue("keeper"), "UNAUTHENTICATED"),
    "SAN without a principal": (lambda authority, _: authority.issue("ip", LOOPBACK), "UNAUTHENTICATED"),
    "two URIs": (
        lambda authority, _: authority.issue("two", uri("gate/7"), uri("keeper")),
        "UNAUTHENTICATED",
    ),
    "SAN of nobody in the policy": (
        lambda authority, _: authority.issue("nobody", uri("nobody")),
        "PERMISSION_DENIED",
    ),
}


@pytest.mark.parametrize("case", _CERTIFICATES)
async def test_certificates_that_do_not_count(
    serve: Serve, connect: Connect, authority: Authority, tmp_path: Path, case: str
) -> None:
    """There is no connection without a valid certificate, and no call without a name in it."""
    issue, code = _CERTIFICATES[case]
    address = await serve(tls_client_ca=authority.file)
    assert await _listed(connect(address, issue(authority, tmp_path))) == code


@pytest.mark.parametrize("key_id", ["RS256", "ES256", "EdDSA"])
async def test_a_token_says_who_calls(serve: Serve, connect: Connect, issuer: Issuer, key_id: str) -> None:
    """The subject is the principal, whatever the algorithm."""
    address = await serve(auth_jwks=str(issuer.jwks), auth_audience=AUDIENCE, auth_issuer=ISSUER)
    assert await _listed(connect(address, token=issuer.token("keeper", key_id))) == "OK"
    assert await _listed(connect(address, token=issuer.token("nobody", key_id))) == "PERMISSION_DENIED"


@pytest.mark.parametrize("groups", [["gates"], "gates", ["others", 7, "gates"]])
async def test_groups_of_a_token_count(
    serve: Serve, connect: Connect, issuer: Issuer, groups: object
) -> None:
    """A grant may be for a group; the claim that lists them can be chosen, and may hold one alone."""
    address = await serve(auth_jwks=str(issuer.jwks), auth_audience=AUDIENCE, auth_groups_claim="roles")
    assert await _listed(connect(address, token=issuer.token("g7", roles=groups))) == "OK"
    assert await _listed(connect(address, token=issuer.token("g7", groups=groups))) == "PERMISSION_DENIED"
    assert (
        await _listed(connect(address, token=issuer.token("g7", roles={"gates": 1}))) == "PERMISSION_DENIED"
    )


@pytest.mark.parametrize("case", BAD_TOKENS)
async def test_tokens_that_do_not_count(serve: Serve, connect: Connect, issuer: Issuer, case: str) -> None:
    """Each of them is UNAUTHENTICATED, whatever it says."""
    address = await serve(auth_jwks=str(issuer.jwks), auth_audience=AUDIENCE, auth_issuer=ISSUER)
    assert await _listed(connect(address, token=BAD_TOKENS[case](issuer))) == "UNAUTHENTICATED"


async def test_a_key_that_is_too_short_does_not_count(serve: Serve, connect: Connect, tmp_path: Path) -> None:
    """An issuer's weak key lets nobody in, although it is published."""
    issuer = Issuer(tmp_path)
    issuer.keys["RS256"] = rsa.generate_private_key(65537, 1024)  # noqa: S505  # the weak one
    issuer.publish("RS256", "ES256")
    address = await serve(auth_jwks=str(issuer.jwks), auth_audience=AUDIENCE)
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        weak = issuer.token("keeper", "RS256")
    assert await _listed(connect(address, token=weak)) == "UNAUTHENTICATED"
    assert await _listed(connect(address, token=issuer.token("keeper"))) == "OK"


async def test_a_token_counts_before_a_certificate(
    serve: Serve, connect: Connect, authority: Authority, issuer: Issuer
) -> None:
    """Where both are asked for, a token that is not valid is not made up for by the certificate."""
    address = await serve(
        tls_client_ca=authority.file, auth_jwks=str(issuer.jwks), auth_audience=AUDIENCE, auth_issuer=ISSUER
    )
    own = authority.issue("gate", uri("gate/7"))
    assert await _code(_create(connect(address, own, issuer.token("keeper")), "border-1")) == "OK"
    assert await _code(_create(connect(address, own), "border-2")) == "PERMISSION_DENIED"
    assert await _listed(connect(address, own, issuer.token("keeper", exp=1))) == "UNAUTHENTICATED"
    twice = {"authorization": f"Bearer {issuer.token('keeper')}"}
    assert await _listed(connect(address, own, issuer.token("g7")), **twice) == "UNAUTHENTICATED"


async def test_other_galleries_cannot_be_told_from_missing_ones(
    serve: Serve, connect: Connect, issuer: Issuer
) -> None:
    """Neither an error nor a list says what the caller may not know of, or not read of."""
    address = await serve(auth_jwks=str(issuer.jwks), auth_audience=AUDIENCE)
    keeper = connect(address, token=issuer.token("keeper"))
    for name in ("a", "border-1", "b", "border-2", "c"):
        await _create(keeper, name)
    gate = GalleryServiceStub(connect(address, token=issuer.token("g7", groups=["gates"])))
    answers = []
    for name in ("a", "z"):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await gate.GetGallery(GetGalleryRequest(name=name))
        trailing = [(key, value) for key, value in failed.value.trailing_metadata() or ()]
        answers.append(
            str((failed.value.code(), failed.value.details(), trailing)).replace(f"named {name};", "")
        )
    assert answers[0] == answers[1]
    first = await gate.ListGalleries(ListGalleriesRequest(page_size=1))
    second = await gate.ListGalleries(ListGalleriesRequest(page_size=1, page_token=first.next_page_token))
    assert [one.name for page in (first, second) for one in page.galleries] == ["border-1", "border-2"]
    assert not second.next_page_token


async def test_new_certificates_need_no_restart(
    serve: Serve, connect: Connect, authority: Authority, issuer: Issuer, tmp_path: Path
) -> None:
    """The next connection gets the files as they are then; those that cannot be read change nothing."""
    certificate, key = authority.issue("mine", LOOPBACK, folder=tmp_path)
    address = await serve(
        auth_jwks=str(issuer.jwks), auth_audience=AUDIENCE, tls_certificate=certificate, tls_key=key
    )
    for name, code in ((x509.DNSName("elsewhere.test"), "UNAVAILABLE"), (LOOPBACK, "OK")):
        authority.issue("mine", name, folder=tmp_path)
        assert await _listed(connect(address, token=issuer.token("keeper"))) == code
    certificate.write_text("garbage")
    assert await _listed(connect(address, token=issuer.token("keeper"))) == "OK"
    certificate.unlink()
    assert await _listed(connect(address, token=issuer.token("keeper"))) == "OK"


async def test_a_connection_does_not_outlive_its_certificate(
    serve: Serve, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some time a new one is made, in which the certificate must count once more."""
    monkeypatch.setattr(server_module, "_LONGEST_CONNECTION_MS", 500)
    trusted = Authority(tmp_path)
    gate = connect(await serve(tls_client_ca=trusted.file), trusted.issue("gate", uri("gate/7")))
    assert await _listed(gate) == "OK"
    Authority(tmp_path)  # another one, in the same file
    while await _listed(gate) != "UNAVAILABLE":
        await asyncio.sleep(0.1)


async def test_health_needs_no_token_and_reflection_does(
    serve: Serve, connect: Connect, issuer: Issuer
) -> None:
    """Probes of an orchestrator have no name; whoever asks what there is to call has one."""
    address = await serve(auth_jwks=str(issuer.jwks), auth_audience=AUDIENCE)
    answer = await health_pb2_grpc.HealthStub(connect(address)).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    for token, code in (("", "UNAUTHENTICATED"), (issuer.token("nobody"), "OK")):
        stub = reflection_pb2_grpc.ServerReflectionStub(connect(address, token=token))
        assert await _code(anext(aiter(stub.ServerReflectionInfo(iter([question]))))) == code


async def test_nobody_but_a_server_calls_for_others(
    serve: Serve, connect: Connect, authority: Authority, tmp_path: Path
) -> None:
    """A server that the policy names says for whom it calls, always; nobody else may."""
    policy = tmp_path / "servers.toml"
    policy.write_text(f'servers = ["spiffe://test/server/two"]\n{_POLICY}')
    address = await serve(tls_client_ca=authority.file, auth_policy=policy)
    server = connect(address, authority.issue_server("two"))
    assert await _listed(server, facegrid_principal_bin=b"keeper") == "OK"
    assert await _listed(server, facegrid_principal_bin=b"nobody") == "PERMISSION_DENIED"
    assert await _listed(server, facegrid_principal_bin=b"") == "UNAUTHENTICATED"
    assert await _listed(server) == "UNAUTHENTICATED"
    gate = connect(address, authority.issue("gate", uri("gate/7")))
    assert await _listed(gate, facegrid_principal_bin=b"keeper") == "UNAUTHENTICATED"
