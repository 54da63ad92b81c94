"""How a client proves who it is, and knows whom it talks to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc


@dataclass(frozen=True, slots=True)
class Credentials:
    """TLS: whom to trust, and who calls, by a certificate or a token or both.

    Files are PEM. Without `ca` the system's roots count. `token` is asked for the bearer token of each call,
    so that one that expires can be renewed.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token: Callable[[], str] | None = None

    def channel(self) -> grpc.ChannelCredentials:
        """Return grpc's credentials. Raises OSError where a file cannot be read."""
        ca, key, certificate = (
            path.read_bytes() if path else None for path in (self.ca, self.key, self.certificate)
        )
        tls = grpc.ssl_channel_credentials(ca, key, certificate)
        if self.token is None:
            return tls
        return grpc.composite_channel_credentials(tls, grpc.metadata_call_credentials(_Bearer(self.token)))


class _Bearer(grpc.AuthMetadataPlugin):
    """Puts the token into each call's metadata."""

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    def __call__(self, _: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        try:
            callback((("authorization", f"Bearer {self._token().strip()}"),), None)
        except OSError as error:  # the file of the token
            callback((), error)
