"""What every call passes on its way in and out: request id, limits, the log's line, errors to statuses."""

import errno
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeAlias
from uuid import uuid4

import grpc
import structlog
from grpc_status import rpc_status

from facegrid.domain.errors import (
    ConfigurationError,
    FacegridError,
    MessageTooLarge,
    Overloaded,
    StorageFull,
    Unavailable,
)
from facegrid.gateway.status import internal_status, misconfigured_status, rich_status, status_code

_SERVICES = "/facegrid.v1."
_FRAMES_LOGGED = 4
_LONGEST_ID = 128

_MethodHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
_Context = grpc.aio.ServicerContext[Any, Any]
_Handler = Callable[[Any, _Context], Awaitable[Any]]
_StreamHandler = Callable[[Any, _Context], AsyncIterator[Any]]


class Boundary(grpc.aio.ServerInterceptor):
    """Wraps the methods of our services; health and reflection pass untouched."""

    def __init__(self, max_message_bytes: int, max_calls: int) -> None:
        """Take the largest request and the most calls that may be under way."""
        self._max_message_bytes, self._max_calls = max_message_bytes, max_calls
        self._calls = 0
        self._log = structlog.get_logger()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_MethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _MethodHandler:
        """Return the method's handler, wrapped."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(_SERVICES):
            return handler
        name = handler_call_details.method.rpartition("/")[2]
        coders = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if not handler.response_streaming:
            return grpc.unary_unary_rpc_method_handler(self._wrap(handler.unary_unary, name), **coders)
        if not handler.request_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._wrap_stream(handler.unary_stream, name), **coders
            )
        return grpc.stream_stream_rpc_method_handler(self._wrap_both(handler, name), **coders)

    def _wrap(self, handler: Any, method: str) -> _Handler:
        async def call(request: Any, context: _Context) -> Any:
            async with self._entered(method, request, context):
                return await handler(request, context)

        return call

    def _wrap_stream(self, handler: Any, method: str) -> _StreamHandler:
        async def call(request: Any, context: _Context) -> AsyncIterator[Any]:
            async with (
                self._entered(method, request, context),
                aclosing(handler(request, context)) as answers,
            ):
                async for answer in answers:
                    yield answer

        return call

    def _wrap_both(self, handler: Any, method: str) -> _StreamHandler:
        """Wrap a method that takes several messages; the first, an empty one if need be, has the context."""

        async def call(requests: AsyncIterator[Any], context: _Context) -> AsyncIterator[Any]:
            others = aiter(requests)
            first = await anext(others, None) or handler.request_deserializer(b"")

            async def checked() -> AsyncIterator[Any]:
                yield first
                async for request in others:
                    self._check_size(request)
                    yield request

            async with (
                self._entered(method, first, context),
                aclosing(handler.stream_stream(checked(), context)) as answers,
            ):
                async for answer in answers:
                    yield answer

        return call

    @asynccontextmanager
    async def _entered(self, method: str, request: Any, context: _Context) -> AsyncIterator[None]:
        """Count and log a call, and answer an error with its status."""
        request.context.request_id = request.context.request_id or uuid4().hex
        start, outcome = time.perf_counter(), {"code": "CANCELLED"}
        self._calls += 1
        try:
            self._check_limits(request)
            yield
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
            self._calls -= 1
            self._log_call(method, request, outcome, start)
        await context.abort_with_status(rpc_status.to_status(status))

    def _check_limits(self, request: Any) -> None:
        if self._calls > self._max_calls:
            raise Overloaded(f"{self._max_calls} calls are under way; retry after a moment")
        self._check_size(request)

    def _check_size(self, request: Any) -> None:
        size = request.ByteSize()
        if size > self._max_message_bytes:
            raise MessageTooLarge(
                f"the request has {size} bytes and the limit is {self._max_message_bytes}; send fewer or "
                "smaller photographs"
            )

    def _log_call(self, method: str, request: Any, outcome: dict[str, str], start: float) -> None:
        log = self._log.error if outcome.keys() & {"cause", "where"} else self._log.info
        log(
            "call",
            method=method,
            request_id=_printable(request.context.request_id),
            **_noted(request.context.transaction_id),
            ms=round(1000 * (time.perf_counter() - start), 1),
            **outcome,
        )


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
