"""What every call passes on its way in and out: request id, limits, the log's line, errors to statuses."""

import errno
import time
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeAlias, cast
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
from facegrid.metrics import Metrics

_SERVICES = "/facegrid.v1."
_FRAMES_LOGGED = 4
_LONGEST_ID = 128

_MethodHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
_Context = grpc.aio.ServicerContext[Any, Any]
_Handler = Callable[[Any, _Context], Awaitable[Any]]
_StreamHandler = Callable[[Any, _Context], AsyncGenerator[Any]]


class Boundary(grpc.aio.ServerInterceptor):
    """Wraps the methods of our services; health and reflection pass untouched."""

    def __init__(self, max_message_bytes: int, max_calls: int, metrics: Metrics) -> None:
        """Take the largest request, the most calls that may be under way, and what counts them."""
        self._max_message_bytes, self._max_calls, self._metrics = max_message_bytes, max_calls, metrics
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
        method = handler_call_details.method.rpartition("/")[2]
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._wrap_stream(cast("_StreamHandler", handler.unary_stream), method),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._wrap(cast("_Handler", handler.unary_unary), method),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _wrap(self, handler: _Handler, method: str) -> _Handler:
        async def call(request: Any, context: _Context) -> Any:
            async with self._passing(method, request, context):
                return await handler(request, context)

        return call

    def _wrap_stream(self, handler: _StreamHandler, method: str) -> _StreamHandler:
        async def call(request: Any, context: _Context) -> AsyncIterator[Any]:
            async with (
                self._passing(method, request, context),
                aclosing(handler(request, context)) as answers,
            ):
                async for answer in answers:
                    yield answer

        return call

    @asynccontextmanager
    async def _passing(self, method: str, request: Any, context: _Context) -> AsyncIterator[None]:
        """Count and log a call, and turn what it raises into the status that it ends with."""
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
            seconds = time.perf_counter() - start
            self._metrics.call_ended(method, outcome["code"], seconds)
            self._log_call(method, request, outcome, seconds)
        await context.abort_with_status(rpc_status.to_status(status))

    def _check_limits(self, request: Any) -> None:
        if self._calls > self._max_calls:
            raise Overloaded(f"{self._max_calls} calls are under way; retry after a moment")
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
