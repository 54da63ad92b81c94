"""What a server that is about to stop says to new calls."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from grpc_status import rpc_status

from facegrid.domain.errors import ServerStopping
from facegrid.gateway.status import rich_status

_SERVICES = "/facegrid.v1."
_MethodHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"


class Draining(grpc.aio.ServerInterceptor):
    """Lets calls through until it is told to refuse new ones."""

    def __init__(self) -> None:
        """Let calls through."""
        self._refuses = False

    def begin(self) -> None:
        """Refuse the calls that come from now on, so that their clients go elsewhere or come back."""
        self._refuses = True

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_MethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _MethodHandler:
        """Return the method's handler, or one that refuses."""
        if self._refuses and handler_call_details.method.startswith(_SERVICES):
            return grpc.stream_stream_rpc_method_handler(_refuse)
        return await continuation(handler_call_details)


async def _refuse(_: object, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[bytes]:
    error = ServerStopping("the server is stopping; retry: another one may take the call, or it comes back")
    await context.abort_with_status(rpc_status.to_status(rich_status(error)))
    yield b""
