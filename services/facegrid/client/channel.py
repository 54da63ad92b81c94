"""How the client's channel behaves: by TLS where there are credentials, and tried again where it can be."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from facegrid.client.credentials import Credentials

_RETRIES = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                # CANCELLED, not by us, is what grpc says of a call that met a server as it stopped.
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ]
}
# A call that is larger than the retry buffer is not retried: the buffer must hold the largest photographs.
_RETRY_BUFFER_BYTES = 64 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.per_rpc_retry_buffer_size", _RETRY_BUFFER_BYTES),
    ("grpc.service_config", json.dumps(_RETRIES)),
)


def open_channel(target: str, credentials: Credentials | None, purpose: str) -> grpc.Channel:
    """Connect; every call states the purpose, if there is one. Raises OSError for files of credentials."""
    channel = (
        grpc.secure_channel(target, credentials.channel(), _OPTIONS)
        if credentials
        else grpc.insecure_channel(target, _OPTIONS)
    )
    return grpc.intercept_channel(channel, _Stating(purpose)) if purpose else channel


class _Stating(
    grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamStreamClientInterceptor
):
    """States a purpose in each request."""

    def __init__(self, purpose: str) -> None:
        self._purpose = purpose

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(details, self._stated(request))

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(details, self._stated(request))

    def intercept_stream_stream(
        self, continuation: Callable[..., Any], details: Any, requests: Iterator[Any]
    ) -> Any:
        return continuation(details, map(self._stated, requests))

    def _stated(self, request: Any) -> Any:
        request.context.purpose = request.context.purpose or self._purpose
        return request
