"""Every method over the wire, for every role and in every kind of gallery: one table."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from api import refusal
from certificates import AUDIENCE, Issuer
from facegrid.domain.access import Permission
from facegrid.gateway.server import SERVED, GatewayServer
from facegrid.serving.security import open_security
from facegrid.settings import Settings
from facegrid.v1.access_pb2 import permission
from facegrid.v1.gallery_service_pb2 import ListGalleriesRequest
from facegrid.v1.gallery_service_pb2_grpc import GalleryServiceStub
from fakes import FakeVision
from gateway.conftest import servicers_of
from house import House, build_house

_ROLES = [one.value for one in Permission]
_METHODS = [method for service in SERVED for method in service.methods]
_POLICY = (
    "[roles]\n"
    + "".join(f'"{role}" = ["{role}"]\n' for role in _ROLES)
    + "".join(
        f'[[grants]]\nrole = "{role}"\nprincipals = ["{role}"]\ngalleries = ["border-*", "staff-1"]\n'
        for role in _ROLES
    )
)
_PURPOSES = '[[purposes]]\ngalleries = ["border-*"]\nallowed = ["entry"]\n'
_TOUCHED = ("border-9", "staff-1", "secret")  # covered by a pattern, by its name, there but not covered


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Make the use cases, with a gallery that no role is for."""
    built = build_house(tmp_path / "data", FakeVision())
    await built.make_gallery("secret")
    yield built
    built.close()


@pytest.fixture
async def channel(house: House, tmp_path: Path, issuer: Issuer) -> AsyncIterator[grpc.aio.Channel]:
    """Serve with a role for each permission, whose principal has the same name."""
    async with _serving(house, tmp_path, issuer, _POLICY) as channel:
        yield channel


@asynccontextmanager
async def _serving(
    house: House, tmp_path: Path, issuer: Issuer, policy: str
) -> AsyncIterator[grpc.aio.Channel]:
    (tmp_path / "policy.toml").write_text(policy)
    security = open_security(
        Settings(auth_jwks=str(issuer.jwks), auth_audience=AUDIENCE, auth_policy=tmp_path / "policy.toml")
    )
    servicers = servicers_of(house, security.access)
    server = GatewayServer(servicers, 64 * 1024, 8, house.metrics, security)
    port = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(0)


async def test_the_table_of_roles(channel: grpc.aio.Channel, issuer: Issuer) -> None:
    """A role is let in where its permission is the method's, and sees no gallery but its own."""
    tokens = {role: issuer.token(role) for role in _ROLES}
    table = {
        (method.full_name, role, gallery): await _outcome(channel, method, gallery, tokens[role])
        for method in _METHODS
        for role in _ROLES
        for gallery in (_TOUCHED if _names_gallery(method) else [""])
    }
    expected = {key: _expected(*key) for key in table}
    _show(table)
    assert table == expected


async def test_lists_are_for_the_purpose_that_is_stated(house: House, tmp_path: Path, issuer: Issuer) -> None:
    """A gallery that is closed for a call's purpose is not listed."""
    for name in ("border-1", "staff-1"):
        await house.make_gallery(name)
    async with _serving(house, tmp_path, issuer, _POLICY + _PURPOSES) as channel:
        listed = {}
        for purpose in ("", "entry", "curiosity"):
            answer = await GalleryServiceStub(channel).ListGalleries(
                ListGalleriesRequest(context={"purpose": purpose}),
                metadata=[("authorization", f"Bearer {issuer.token('verify')}")],
            )
            listed[purpose] = [one.name for one in answer.galleries]
    assert listed == {"": ["staff-1"], "entry": ["border-1", "staff-1"], "curiosity": ["staff-1"]}


async def test_nobody_unknown_is_let_in(channel: grpc.aio.Channel) -> None:
    """Each method refuses a call without a token."""
    for method in _METHODS:
        code, reason, _, _ = await refusal(_call(channel, method, "border-9", ""))
        assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"), method.full_name


@pytest.mark.parametrize("caller", ["", "stranger"])
async def test_nothing_is_read_of_those_who_may_do_nothing(
    channel: grpc.aio.Channel, issuer: Issuer, caller: str
) -> None:
    """A call without a token, or with that of nobody in the policy, ends before its message."""
    never = asyncio.Event()

    async def silent() -> AsyncIterator[bytes]:
        await never.wait()
        yield b""

    metadata = [("authorization", f"Bearer {issuer.token(caller)}")] if caller else []
    for method in _METHODS:
        path = f"/{method.containing_service.full_name}/{method.name}"
        call = channel.stream_stream(path)(silent(), timeout=5, metadata=metadata)
        code, _, _, _ = await refusal(anext(aiter(call)))
        assert code.name == ("PERMISSION_DENIED" if caller else "UNAUTHENTICATED"), path


async def test_a_message_of_nobody_is_not_received(channel: grpc.aio.Channel) -> None:
    """One that is over every limit of the server is refused for who sent it, and not for its size."""
    call = channel.unary_unary("/facegrid.v1.FaceService/Detect")(bytes(2**20), timeout=10)
    code, _, _, _ = await refusal(call)
    assert code is grpc.StatusCode.UNAUTHENTICATED


def _expected(path: str, role: str, gallery: str) -> str:
    method = next(one for one in _METHODS if one.full_name == path)
    if gallery == "secret":
        return "denied" if method.name == "CreateGallery" else "unseen"
    return "in" if method.GetOptions().Extensions[permission] == _number(role) else "denied"


def _number(role: str) -> int:
    return 1 + _ROLES.index(role)


async def _outcome(channel: grpc.aio.Channel, method: Any, gallery: str, token: str) -> str:
    """Return how a call ends; what is let in fails later, because it asks for nothing that is there."""
    try:
        await _call(channel, method, gallery, token)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.PERMISSION_DENIED:
            return "denied"
        hidden = gallery == "secret" and error.code() is grpc.StatusCode.NOT_FOUND
        return "unseen" if hidden else "in"
    return "in"


async def _call(channel: grpc.aio.Channel, method: Any, gallery: str, token: str) -> None:
    request = method.input_type._concrete_class()
    for field in ("gallery", "name"):
        if gallery and field in method.input_type.fields_by_name:
            setattr(request, field, gallery)
    path = f"/{method.containing_service.full_name}/{method.name}"
    call = channel.stream_stream(path, lambda sent: sent.SerializeToString())
    metadata = [("authorization", f"Bearer {token}")] if token else []
    async for _ in call(iter([request]), metadata=metadata, timeout=10):
        pass


def _names_gallery(method: Any) -> bool:
    return bool({"gallery", "name"} & set(method.input_type.fields_by_name))


def _show(table: dict[tuple[str, str, str], str]) -> None:
    """Print which roles are let in, and in which galleries."""
    for method in _METHODS:
        rows = [key[1:] for key, value in table.items() if key[0] == method.full_name and value == "in"]
        roles, galleries = ({row[place] for row in rows} for place in (0, 1))
        print(f"{method.name:20} {' '.join(roles):15} {' '.join(sorted(galleries))}")  # noqa: T201  # pytest -s
