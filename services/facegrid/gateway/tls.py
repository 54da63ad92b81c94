"""Certificates of this server and of the others that it calls, read again when their files change."""

import ipaddress
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import grpc
import structlog

ServerCredentials = grpc.ServerCredentials
_Stamps: TypeAlias = list[tuple[int, int]]


def server_credentials(certificate: Path, key: Path, client_ca: Path | None) -> grpc.ServerCredentials:
    """Return TLS credentials of PEM files; with a CA, clients must show a certificate that it has signed.

    New connections get the files as they are then; files that cannot be read change nothing. Raises OSError.
    """
    files = [certificate, key, *([client_ca] if client_ca else [])]
    read = _Reader(files, lambda: _configuration(files))
    return grpc.dynamic_ssl_server_credentials(
        _configuration(files),
        read,  # type: ignore[arg-type]  # grpc takes None for "as before"; its stubs do not say so
        client_ca is not None,
    )


def on_loopback(address: str) -> bool:
    """Say whether what is sent to `host:port` stays on this machine."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class PeerTls:
    """How this server reaches others: by TLS, with its own certificate."""

    def __init__(self, certificate: Path, key: Path, ca: Path | None) -> None:
        """Take PEM files; without the CA of the other servers the system's roots count."""
        self._certificate, self._key, self._ca = certificate, key, ca

    def credentials(self) -> grpc.ChannelCredentials:
        """Return the credentials of a new connection. Raises OSError."""
        ca = self._ca.read_bytes() if self._ca else None
        return grpc.ssl_channel_credentials(ca, self._key.read_bytes(), self._certificate.read_bytes())

    def stamps(self) -> _Stamps:
        """Return what differs once a file has changed. Raises OSError."""
        return _stamps([self._certificate, self._key, *([self._ca] if self._ca else [])])


class _Reader:
    """Gives the certificates of files that have changed; grpc asks at each connection."""

    def __init__(
        self, files: Sequence[Path], read: Callable[[], grpc.ServerCertificateConfiguration]
    ) -> None:
        self._files, self._read = files, read
        self._seen = _stamps(files)

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        try:
            if (stamps := _stamps(self._files)) == self._seen:
                return None
            configuration, self._seen = self._read(), stamps
        except OSError as error:
            structlog.get_logger().warning("certificates not read", cause=error.strerror)
            return None
        return configuration


def _stamps(files: Sequence[Path]) -> _Stamps:
    return [(stat.st_mtime_ns, stat.st_ino) for stat in (file.stat() for file in files)]


def _configuration(files: Sequence[Path]) -> grpc.ServerCertificateConfiguration:
    certificate, key, *ca = (file.read_bytes() for file in files)
    return grpc.ssl_server_certificate_configuration([(key, certificate)], ca[0] if ca else None)
