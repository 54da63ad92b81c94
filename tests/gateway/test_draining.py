"""A server that is about to stop refuses new calls in a way that clients can act on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from facegrid.client.errors import call_failed
from facegrid.gateway.draining import Draining


@pytest.mark.parametrize("streams", [False, True])
async def test_new_calls_are_refused_and_old_ones_end(streams: bool) -> None:
    """What is under way is answered, what comes is UNAVAILABLE and says that the server stops."""
    draining, free = Draining(), asyncio.Event()

    async def answer(request: bytes, _: Any) -> bytes:
        await free.wait()
        return request

    async def answers(requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield await answer(request, _)

    kind = grpc.stream_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
    method = {"Do": kind(answers if streams else answer)}
    server = grpc.aio.server(interceptors=[draining])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("facegrid.v1.Test", method),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_retries", 0)]) as channel:

        async def call() -> bytes:
            if not streams:
                sent: bytes = await channel.unary_unary("/facegrid.v1.Test/Do")(b"x", timeout=20)
                return sent
            stream = channel.stream_stream("/facegrid.v1.Test/Do")(iter([b"x"]), timeout=20)
            return b"".join([one async for one in stream])

        under_way = asyncio.create_task(call())
        await asyncio.sleep(0.2)
        draining.begin()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call()
        failure = call_failed(caught.value, "here")
        assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")
        free.set()
        assert await under_way == b"x"
    await server.stop(0)
