"""What every call passes on its way in and out: request id, limits, the log's line, errors to statuses."""

import asyncio
import errno
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, TypeAlias
from uuid import uuid4

import grpc
import structlog
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from facegrid.domain.access import Rights
from facegrid.domain.errors import (
    ConfigurationError,
    FacegridError,
    InvalidField,
    MessageTooLarge,
    Overloaded,
    StorageFull,
    Unavailable,
)
from facegrid.gateway.access import AccessControl
from facegrid.gateway.permissions import Needs
from facegrid.gateway.status import internal_status, misconfigured_status, rich_status, status_code
from facegrid.metrics import Metrics

_SERVICES, _REFLECTION = "/facegrid.v1.", "/grpc.reflection."
_FRAMES_LOGGED = 4
_LONGEST_ID = 128
_NEED_NO_STORE = {"Identify", "Detect", "Analyze", "Compare"}
_KEPT_SHARE = 8  # of the room for calls, for those
_FIRST_OF_STREAM_S, _UPLOAD_S = 10.0, 120.0  # that a message may take which begins, or is, what is sent

_MethodHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
_Context = grpc.aio.ServicerContext[Any, Any]


class Boundary(grpc.aio.ServerInterceptor):
    """Wraps the methods of our services.

    Health passes untouched, for probes have no name; reflection answers whoever is known.
    """

    def __init__(
        self,
        max_message_bytes: int,
        max_calls: int,
        metrics: Metrics,
        needs: Mapping[str, Needs],
        access: AccessControl | None = None,
    ) -> None:
        """Take the largest request, the most calls under way, what counts them, and who may make them."""
        self._max_message_bytes, self._max_calls, self._metrics = max_message_bytes, max_calls, metrics
        self._needs, self._access = needs, access
        self._calls = 0
        self._log = structlog.get_logger()

    @property
    def calls(self) -> int:
        """How many are under way."""
        return self._calls

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_MethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _MethodHandler:
        """Return the method's handler, wrapped."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is not None and self._access and method.startswith(_REFLECTION):
            call = _for_known(handler, self._access)
        elif handler is not None and method.startswith(_SERVICES):
            call = self._wrap(handler, method)
        else:
            return handler
        # A call of one message is a stream of one on the wire, and a stream is not read before we ask for it.
        wrapped: _MethodHandler = grpc.stream_stream_rpc_method_handler(
            call,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return wrapped

    def _wrap(self, handler: Any, method: str) -> Callable[[Any, _Context], AsyncIterator[Any]]:
        async def one(sent: Any, context: _Context) -> AsyncIterator[Any]:
            async with self._passing(handler, method, sent, context) as requests:
                answer = await (handler.unary_unary or handler.stream_unary)(requests, context)
            yield answer

        async def many(sent: Any, context: _Context) -> AsyncIterator[Any]:
            async with (
                self._passing(handler, method, sent, context) as requests,
                aclosing((handler.unary_stream or handler.stream_stream)(requests, context)) as found,
            ):
                async for answer in found:
                    yield answer

        return many if handler.response_streaming else one

    async def _first(self, handler: Any, sent: AsyncIterator[Any]) -> tuple[Any, Any]:
        """Return the first message, which has the context of the call, and what the handler is to get."""
        limit_s = _FIRST_OF_STREAM_S if handler.request_streaming else _UPLOAD_S
        try:
            async with asyncio.timeout(limit_s):
                first = await anext(aiter(sent), None)
        except TimeoutError:
            raise InvalidField(f"no message came within {limit_s:.0f} s; send it sooner") from None
        except DecodeError:
            raise InvalidField("the message can't be read; make it by this server's protos") from None
        messages = self._checked(first, sent) if first is not None else _none()
        first = handler.request_deserializer(b"") if first is None else first
        return first, messages if handler.request_streaming else first

    async def _checked(self, first: Any, messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
        yield first
        async for message in messages:
            self._check_size(message)
            yield message

    @asynccontextmanager
    async def _passing(self, handler: Any, method: str, sent: Any, context: _Context) -> AsyncIterator[Any]:
        """Let a call in and out; what is raised inside becomes its status. Yields what the handler is to get.

        Nothing is read of what a caller sends before it is known and there is room for its call.
        """
        request = handler.request_deserializer(b"")
        request.context.request_id = uuid4().hex
        name, start, outcome = method.rpartition("/")[2], time.perf_counter(), {"code": "CANCELLED"}
        caller: dict[str, str] = {}
        try:
            rights = await self._rights(method, context)
            caller = {"principal": rights.principal.name} if rights else {}
            with self._counted(name):
                request, requests = await self._first(handler, sent)
                self._admit(method, request, rights)
                yield requests
            outcome = {"code": "OK"}
        except FacegridError as error:
            outcome = {"code": status_code(error).name, "reason": error.reason} | _cause(error)
            status = rich_status(error)
        except ConfigurationError as error:
            outcome = {"code": "FAILED_PRECONDITION", "reason": "MISCONFIGURED", "cause": str(error)}
            status = misconfigured_status(request.context.request_id)
        except Exception as error:  # noqa: BLE001  # the boundary is where a fault ends
            outcome = {"code": "INTERNAL", "error": type(error).__name__, "where": _where(error)}
            status = internal_status(request.context.request_id)
        else:
            return
        finally:
            seconds = time.perf_counter() - start
            self._metrics.call_ended(name, outcome["code"], seconds)
            self._log_call(name, request, caller | outcome, seconds)
        await context.abort_with_status(rpc_status.to_status(status))

    async def _rights(self, method: str, context: _Context) -> Rights | None:
        """Return what the caller may do. Raises Unauthenticated, PermissionDenied where it is nothing."""
        if not self._access:
            return None
        rights = await self._access.rights(context)
        if not rights.grants:
            rights.check(self._needs[method].permission, ())
        return rights

    def _admit(self, method: str, request: Any, rights: Rights | None) -> None:
        """Complete the context of a request, which may be too large, or more than the caller may ask."""
        request.context.request_id = request.context.request_id or uuid4().hex
        self._check_size(request)
        if rights:
            self._needs[method].check(rights, request)
            request.context.end_user = request.context.end_user or rights.principal.name

    @contextmanager
    def _counted(self, method: str) -> Iterator[None]:
        """Refuse a call too many; where a slow store holds calls up, searches still find room."""
        kept = 0 if method in _NEED_NO_STORE else self._max_calls // _KEPT_SHARE
        if self._calls >= self._max_calls - kept:
            raise Overloaded(f"{self._calls} calls are under way; retry after a moment")
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1

    def _check_size(self, request: Any) -> None:
        size = request.ByteSize()
        if size > self._max_message_bytes:
            raise MessageTooLarge(
                f"the request has {size} bytes and the limit is {self._max_message_bytes}; send fewer or "
                "smaller photographs"
            )

    def _log_call(self, method: str, request: Any, outcome: dict[str, str], seconds: float) -> None:
        log = self._log.error if outcome.keys() & {"cause", "where"} else self._log.info
        log(
            "call",
            method=method,
            request_id=_printable(request.context.request_id),
            **_noted(request.context.transaction_id),
            ms=round(1000 * seconds, 1),
            **outcome,
        )


def _for_known(handler: Any, access: AccessControl) -> Callable[[Any, _Context], Any]:
    """Let only callers that are known reach a handler of streams, whatever they may do."""

    async def many(requests: Any, context: _Context) -> AsyncIterator[Any]:
        try:
            await access.rights(context)
        except FacegridError as error:
            await context.abort_with_status(rpc_status.to_status(rich_status(error)))
        async for answer in handler.stream_stream(requests, context):
            yield answer

    return many


async def _none() -> AsyncIterator[Any]:
    nothing: tuple[Any, ...] = ()
    for message in nothing:
        yield message


def _cause(error: FacegridError) -> dict[str, str]:
    """Name what a store or index failed with: without its words, which may hold paths."""
    cause = error.__cause__
    if not isinstance(error, Unavailable | StorageFull) or cause is None:
        return {}
    number = cause.errno if isinstance(cause, OSError) else None
    return {"cause": " ".join([type(cause).__name__, errno.errorcode.get(number or 0, "")]).strip()}


def _printable(request_id: str) -> str:
    """Keep what a client sent from writing lines of its own into the log."""
    return request_id[:_LONGEST_ID] if request_id.isprintable() else "(not printable)"


def _noted(transaction_id: str) -> dict[str, str]:
    return {"transaction_id": _printable(transaction_id)} if transaction_id else {}


def _where(error: Exception) -> str:
    """Name the innermost functions of a fault: no path, no value of a variable."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_LOGGED:]
    return " > ".join(f"{frame.name}:{frame.lineno}" for frame in frames)
