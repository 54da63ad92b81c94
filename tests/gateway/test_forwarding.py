"""A server that follows another: what it answers, what it passes on, and what comes back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from api import Api, refusal
from facegrid.gateway.server import GatewayServer, Servicers
from facegrid.v1 import gallery_service_pb2 as pb
from facegrid.v1 import identity_service_pb2 as identity_pb
from facegrid.v1.gallery_service_pb2_grpc import GalleryServiceStub
from facegrid.v1.identity_service_pb2_grpc import IdentityServiceStub
from gateway.conftest import servicers_of
from house import House

NOBODY = (
    grpc.StatusCode.UNAVAILABLE,
    "LEADER_UNAVAILABLE",
    "",
    "the server that makes changes can't be reached; retry in a moment",
)


class Follower:
    """A server that follows, over use cases that it shares with the leader, as a shared store does."""

    def __init__(self, house: House) -> None:
        """Take the use cases."""
        self.servicers: Servicers = servicers_of(house)
        self.server = GatewayServer(self.servicers, 64 * 1024, 4, house.metrics)

    async def start(self) -> None:
        """Listen, with no leader so far."""
        self.address = f"127.0.0.1:{await self.server.start('127.0.0.1:0')}"
        self.server.follow("")
        self.channel = grpc.aio.insecure_channel(self.address)
        self.galleries = GalleryServiceStub(self.channel)
        self.identities = IdentityServiceStub(self.channel)


@pytest.fixture
async def follower(api: Api) -> AsyncIterator[Follower]:
    """Start a follower beside the server."""
    made = Follower(api.house)
    await made.start()
    yield made
    await made.channel.close()
    await made.server.stop(0)


async def test_reads_are_answered_and_mutations_refused_where_there_is_no_leader(follower: Follower) -> None:
    """The refusal says when to try again."""
    await follower.galleries.GetGallery(pb.GetGalleryRequest(name="g"))
    assert await refusal(follower.galleries.CreateGallery(pb.CreateGalleryRequest(name="h"))) == NOBODY
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await follower.galleries.DeleteGallery(pb.DeleteGalleryRequest(name="g"))
    status, retry = rpc_status.from_call(caught.value), error_details_pb2.RetryInfo()
    assert status
    assert any(detail.Unpack(retry) for detail in status.details)


async def test_mutations_pass_to_the_leader_and_its_answers_back(api: Api, follower: Follower) -> None:
    """An answer is the leader's own, and so is a refusal with all its details."""
    follower.server.follow(api.address)
    made = await follower.galleries.CreateGallery(pb.CreateGalleryRequest(name="h"))
    assert made.gallery.name == "h"
    wrong = pb.CreateGalleryRequest(name="no name")
    assert await refusal(follower.galleries.CreateGallery(wrong)) == await refusal(
        api.galleries.CreateGallery(wrong)
    )


async def test_what_was_passed_on_is_not_passed_on_again(follower: Follower) -> None:
    """Where two servers take each other for the leader, or one itself, the call ends."""
    follower.server.follow(follower.address)
    assert await refusal(follower.galleries.CreateGallery(pb.CreateGalleryRequest(name="h"))) == NOBODY


async def test_a_leader_that_is_gone_is_missed(api: Api, follower: Follower) -> None:
    """Nothing listens at its address any more."""
    follower.server.follow(api.address)
    await api.server.stop(0)
    assert await refusal(follower.identities.Enroll(identity_pb.EnrollRequest(gallery="g"))) == NOBODY


async def test_the_call_arrives_as_it_was_sent(follower: Follower) -> None:
    """With its bytes, what the caller says beside them, and the time that is left."""
    sent = pb.CreateGalleryRequest(name="h")
    async with leading(Listener()) as address:
        follower.server.follow(address)
        call = follower.galleries.CreateGallery(sent, timeout=1000, metadata=[("x-caller", "me")])
        code, _, _, heard = await refusal(call)
    assert code is grpc.StatusCode.ABORTED
    assert heard == f"/facegrid.v1.GalleryService/CreateGallery {sent.SerializeToString()!r} 1000 ['me']"


async def test_no_more_calls_are_passed_on_than_a_server_takes(follower: Follower) -> None:
    """One too many is refused, and may come back once there is room."""
    waiting, sent = Waiting(), pb.CreateGalleryRequest(name="h")
    async with leading(waiting) as address:
        follower.server.follow(address)
        calls = [asyncio.ensure_future(_awaited(follower.galleries.CreateGallery(sent))) for _ in range(4)]
        async with asyncio.timeout(60):
            while waiting.calls < len(calls):
                await asyncio.sleep(0.01)
        code, reason, _, _ = await refusal(follower.galleries.CreateGallery(sent))
        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        waiting.free.set()
        await asyncio.gather(*calls)
        await follower.galleries.CreateGallery(sent)


@asynccontextmanager
async def leading(handler: grpc.GenericRpcHandler) -> AsyncIterator[str]:
    """Run a leader with a handler of the test's, and end it whatever happens; yields its address."""
    leader = grpc.aio.server()
    leader.add_generic_rpc_handlers((handler,))
    port = leader.add_insecure_port("127.0.0.1:0")
    await leader.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await leader.stop(0)


class Waiting(grpc.GenericRpcHandler):
    """Answers with an empty message, once it may."""

    def __init__(self) -> None:
        """Let calls wait."""
        self.calls, self.free = 0, asyncio.Event()

    def service(self, _: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """Take any method."""

        async def answer(_: bytes, __: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            self.calls += 1
            await self.free.wait()
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


async def _awaited(call: Awaitable[Any]) -> Any:
    return await call


class Listener(grpc.GenericRpcHandler):
    """Refuses every call with what it heard."""

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """Take any method."""

        async def refuse(sent: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            callers = [value for key, value in context.invocation_metadata() or () if key == "x-caller"]
            left = round(context.time_remaining() or 0, -2)  # what travels has two digits
            await context.abort(grpc.StatusCode.ABORTED, f"{details.method} {sent!r} {left:.0f} {callers}")
            return b""

        return grpc.unary_unary_rpc_method_handler(refuse)


async def test_a_follower_that_takes_over_answers_itself(follower: Follower) -> None:
    """With servicers that may write, and without being started again."""
    follower.server.lead(follower.servicers)
    await follower.galleries.CreateGallery(pb.CreateGalleryRequest(name="h"))
