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

from facegrid.domain.errors import FacegridError, LeaderUnavailable, Overloaded
from facegrid.gateway.access import Security
from facegrid.gateway.authentication import PRINCIPAL
from facegrid.gateway.status import ERROR_DOMAIN, rich_status
from facegrid.gateway.tls import on_loopback

_FORWARDED = ("facegrid-forwarded", "1")
_STATUS = "grpc-status-details-bin"
_TRANSPORT_S = ("grpc-", "user-agent", "content-type", "te")  # each connection has its own
_LAST_CALLS_S = 24 * 3600.0  # that a connection has whose certificate has changed
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
    sent once is not sent again. The leader decides what a caller may do, and is told who that is.
    """

    def __init__(self, security: Security, max_calls: int) -> None:
        """Begin as a leader, which sends nothing; later so many calls at a time."""
        self._max_calls, self._calls = max_calls, 0
        self._leads, self._leader = True, ""
        self._access, self._peers = security.access, security.peers
        self._channel: grpc.aio.Channel | None = None
        self._stamps: object = None
        self._closing: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger()

    @property
    def calls(self) -> int:
        """How many are under way."""
        return self._calls

    def lead(self) -> None:
        """Let every call be answered here from now on."""
        self._turn_to("")
        self._leads = True

    def follow(self, leader: str) -> None:
        """Send mutations to this server from now on; empty while there is none.

        A leader on another machine is none without TLS, where callers have tokens that must stay secret.
        """
        if leader and self._access and not (self._peers or on_loopback(leader)):
            self._log.error("leader not used: there is no TLS; set FACEGRID_TLS_CERTIFICATE", leader=leader)
            leader = ""
        self._turn_to(leader)
        self._leads = False
        if leader:
            self._log.info("mutations go to", leader=leader)
        else:
            self._log.warning("mutations have no leader")

    async def close(self) -> None:
        """End the connection."""
        self._turn_to("")
        await asyncio.gather(*self._closing)

    def _turn_to(self, leader: str) -> None:
        self._retire(None)
        self._leader = leader

    def _retire(self, grace_s: float | None) -> None:
        if self._channel:
            task = asyncio.create_task(self._channel.close(grace_s))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        self._channel = None

    def _reach(self) -> grpc.aio.Channel | None:
        """Return the connection to the leader, a new one where the certificates have changed."""
        try:
            stamps = self._peers.stamps() if self._peers else None
            if self._leader and (self._channel is None or stamps != self._stamps):
                opened = self._open(self._leader)
                self._retire(_LAST_CALLS_S)
                self._channel, self._stamps = opened, stamps
        except OSError as error:
            self._log.warning("certificates not read", cause=error.strerror)
        return self._channel

    def _open(self, leader: str) -> grpc.aio.Channel:
        if self._peers:
            return grpc.aio.secure_channel(leader, self._peers.credentials(), _OPTIONS)
        return grpc.aio.insecure_channel(leader, _OPTIONS)

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
        try:
            caller = await self._access.passed_on(context) if self._access else ()
            if self._calls >= self._max_calls:
                raise Overloaded(f"{self._calls} calls are under way; retry after a moment")
        except FacegridError as error:
            await _end(context, error)
        metadata, channel = tuple(context.invocation_metadata() or ()), self._reach()
        if channel is None or _FORWARDED in metadata:
            await _refuse(context)
        passed = [pair for pair in metadata if not pair[0].startswith((*_TRANSPORT_S, PRINCIPAL))]
        method_of_leader: _Method = channel.stream_stream(method)
        call = method_of_leader(
            requests, timeout=context.time_remaining(), metadata=(*passed, *caller, _FORWARDED)
        )
        self._calls += 1
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
            await self._pass_on(error, context)
        except (asyncio.InvalidStateError, grpc.aio.InternalError, grpc.aio.UsageError):
            await _refuse(context)  # it ended while we still wrote to it
        except asyncio.CancelledError:
            if _is_cancelled():  # by our caller; else the connection was closed under the call
                raise
            await _refuse(context)
        finally:
            self._calls -= 1
            call.cancel()

    async def _pass_on(self, error: grpc.aio.AioRpcError, context: _Context) -> None:
        """End a call as the leader ended it; where the connection did, say that the leader is not there."""
        trailing = tuple(error.trailing_metadata() or ())
        if error.code() in _BROKEN and not any(key == _STATUS for key, _ in trailing):
            self._log.warning("leader not reached", leader=self._leader, cause=error.details())
            await _refuse(context)
        await context.abort(error.code(), error.details() or "", trailing)


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


async def _refuse(context: _Context) -> NoReturn:
    await _end(
        context, LeaderUnavailable("the server that makes changes can't be reached; retry in a moment")
    )


async def _end(context: _Context, error: FacegridError) -> NoReturn:
    await context.abort_with_status(rpc_status.to_status(rich_status(error)))
    raise AssertionError


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
