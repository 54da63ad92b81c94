"""What a server sends to another one: calls that may change something, where that one alone writes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, NoReturn, TypeAlias

import grpc
import structlog
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions
from grpc_status import rpc_status

from facegrid.domain.errors import LeaderUnavailable
from facegrid.gateway.status import ERROR_DOMAIN, rich_status

_FORWARDED = ("facegrid-forwarded", "1")
_STATUS = "grpc-status-details-bin"
_TRANSPORT_S = ("grpc-", "user-agent", "content-type", "te")  # each connection has its own
_BROKEN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_retries", 0),  # callers retry
]

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Method: TypeAlias = "grpc.aio.StreamStreamMultiCallable[bytes, bytes]"
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"


class Forwarding(grpc.aio.ServerInterceptor):
    """Sends calls to the leader as they come, bytes and all, while this server follows one.

    The API says with `idempotency_level` which methods have no side effects; all others are sent. What was
    sent once is not sent again.
    """

    def __init__(self) -> None:
        """Begin as a leader, which sends nothing."""
        self._leads, self._leader = True, ""
        self._channel: grpc.aio.Channel | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger()

    def lead(self) -> None:
        """Let every call be answered here from now on."""
        self._connect("")
        self._leads = True

    def follow(self, leader: str) -> None:
        """Send mutations to this server from now on; empty while there is none."""
        self._connect(leader)
        self._leads = False
        if leader:
            self._log.info("mutations go to", leader=leader)
        else:
            self._log.warning("mutations have no leader")

    async def close(self) -> None:
        """End the connection."""
        self._connect("")
        await asyncio.gather(*self._closing)

    def _connect(self, leader: str) -> None:
        if self._channel:
            task = asyncio.create_task(self._channel.close(None))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        self._channel = grpc.aio.insecure_channel(leader, _OPTIONS) if leader else None

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """Return the method's handler: one that sends the call, or the one that is here."""
        method = handler_call_details.method
        if self._leads or not _may_change(method):
            return await continuation(handler_call_details)
        # On the wire a call of one message is a stream of one, so all kinds of calls pass here.
        return grpc.stream_stream_rpc_method_handler(partial(self._send, method))

    async def _send(
        self, method: str, requests: AsyncIterator[bytes], context: _Context
    ) -> AsyncIterator[bytes]:
        metadata = tuple(context.invocation_metadata() or ())
        if self._channel is None or _FORWARDED in metadata:
            await _refuse(context)
        passed = [pair for pair in metadata if not pair[0].startswith(_TRANSPORT_S)]
        method_of_leader: _Method = self._channel.stream_stream(method)
        call = method_of_leader(requests, timeout=context.time_remaining(), metadata=(*passed, _FORWARDED))
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
            await _pass_on(error, context)
        except asyncio.CancelledError:
            if _is_cancelled():  # by our caller; else the connection was closed under the call
                raise
            await _refuse(context)
        finally:
            call.cancel()


def _may_change(method: str) -> bool:
    """Say whether a method of ours is not declared to be without side effects."""
    service, _, name = method.removeprefix("/").rpartition("/")
    if not service.startswith(f"{ERROR_DOMAIN}."):
        return False
    try:
        options = descriptor_pool.Default().FindMethodByName(f"{service}.{name}").GetOptions()
    except KeyError:
        return False  # there is no such method
    return bool(options.idempotency_level != MethodOptions.NO_SIDE_EFFECTS)


async def _pass_on(error: grpc.aio.AioRpcError, context: _Context) -> None:
    """End a call as the leader ended it; where the connection did, say that the leader is not there."""
    trailing = tuple(error.trailing_metadata() or ())
    if error.code() in _BROKEN and not any(key == _STATUS for key, _ in trailing):
        await _refuse(context)
    await context.abort(error.code(), error.details() or "", trailing)


async def _refuse(context: _Context) -> NoReturn:
    error = LeaderUnavailable("the server that makes changes can't be reached; retry in a moment")
    await context.abort_with_status(rpc_status.to_status(rich_status(error)))
    raise AssertionError


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
