"""The connection to Milvus: made when it is needed, and given up as soon as nobody answers."""

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import structlog

from facegrid.domain.errors import ConfigurationError, FacegridError, StoreUnavailable

T = TypeVar("T")
_TESTED = re.compile(r"v?2\.3\.5(-.*)?|milvus_lite-3\.2(\..*)?")
_CONNECTING_S, _PAUSE_S = 2.0, 1.0
_NOT_CONNECTED = 2  # code of pymilvus; Milvus's own are above


@dataclass(frozen=True, slots=True)
class MilvusOptions:
    """How Milvus is reached and what its collections are made with.

    `consistency` is the level of searches that need not see a write of the last second, `timeout_s` what a
    call may take, loading a collection excepted.
    """

    token: str = field(default="", repr=False)
    database: str = ""
    ca_file: Path | None = None
    server_name: str = ""
    replicas: int = 1
    shards: int = 1
    consistency: str = "Bounded"
    timeout_s: float = 10.0


class MilvusConnection:
    """A client of Milvus Lite in a folder, or of a server behind an URL.

    pymilvus goes on asking a dead server until a call's time is over, one caller after the other. So a
    connection that is lost is closed, which ends the calls on it; then one caller a second tries to make
    another one, and the rest are told at once.
    """

    def __init__(self, uri: str, options: MilvusOptions) -> None:
        """Take a folder or an URL. Nothing is connected yet. Raises ConfigurationError."""
        self.is_lite = "://" not in uri
        self._uri, self._options = uri, options
        self._client: Any = None
        self._connecting = threading.Lock()
        self._failed = -_PAUSE_S
        self._log = structlog.get_logger(__name__)
        if options.ca_file and not uri.startswith("https://"):
            raise ConfigurationError("FACEGRID_MILVUS_CA is for TLS; let FACEGRID_MILVUS begin with https://")
        if options.ca_file and not options.ca_file.is_file():
            raise ConfigurationError("FACEGRID_MILVUS_CA names no file; name the PEM file of the CA")

    def call(self, work: Callable[[Any], T]) -> T:
        """Do some work with the client. Raises StoreUnavailable and ConfigurationError."""
        client = self._connected()
        try:
            return work(client)
        except (FacegridError, ConfigurationError):
            raise
        except Exception as error:  # pymilvus lets grpc's errors through beside its own: no common class
            self._log.warning("index failed", cause=type(error).__name__, code=_code(error))
            if not _is_answer(error) and not _answers(client):
                self._let_go(client)
            raise _unavailable() from error

    def close(self) -> None:
        """Disconnect, and stop the server in this process that a client of Milvus Lite leaves running."""
        if self._client:
            self._client.close()
            self._client = None
            if self.is_lite:
                from milvus_lite.server_manager import (  # type: ignore[import-untyped]  # noqa: PLC0415  as pymilvus
                    server_manager_instance,
                )

                server_manager_instance.release_server(self._address)

    def _connected(self) -> Any:
        with self._connecting:
            if self._client is None and time.monotonic() < self._failed + _PAUSE_S:
                raise _unavailable()
            if self._client is None:
                try:
                    self._client = self._connect()
                except ConfigurationError:
                    raise
                except Exception as error:
                    self._failed = time.monotonic()
                    self._log.warning("index not connected: check its address, token and CA")
                    raise _unavailable() from error
            return self._client

    def _connect(self) -> Any:
        from pymilvus import MilvusClient  # noqa: PLC0415  takes seconds

        _quieten()
        options = self._options
        if self.is_lite:
            Path(self._uri).mkdir(mode=0o700, parents=True, exist_ok=True)
        client = MilvusClient(
            self._address,
            token=options.token,
            db_name=options.database,
            timeout=_CONNECTING_S,
            dedicated=True,  # others would share whichever of them came first, TLS and all
            server_pem_path=str(options.ca_file or ""),
            server_name=options.server_name,
        )
        if options.database and options.database not in client.list_databases(timeout=_CONNECTING_S):
            raise ConfigurationError(
                f"Milvus has no database {options.database!r}; create it, or set FACEGRID_MILVUS_DATABASE to "
                "one that exists"
            )
        version = client.get_server_version(timeout=_CONNECTING_S)
        if not _TESTED.fullmatch(version):
            self._log.warning("untested Milvus", version=version, tested="Milvus 2.3.5, Milvus Lite 3.2")
        return client

    @property
    def _address(self) -> str:
        return str(Path(self._uri).absolute() / "lite.db") if self.is_lite else self._uri

    def _let_go(self, client: Any) -> None:
        with self._connecting:
            if self._client is client:
                self._client, self._failed = None, time.monotonic()
                client.close()


def _quieten() -> None:
    """Leave it to us to log failures: pymilvus logs requests and stack traces with them."""
    library = logging.getLogger("pymilvus")
    library.handlers.clear()
    library.propagate = True
    library.setLevel(logging.CRITICAL)
    # Milvus Lite serves from this process and lacks calls; grpc logs each such answer as an error.
    logging.getLogger("grpc._server").setLevel(logging.CRITICAL)


def _code(error: Exception) -> int | str | None:
    """Return the number with which Milvus answered, or the name of grpc's status."""
    code = getattr(error, "code", None)
    code = code() if callable(code) else code
    return code if isinstance(code, int) else getattr(code, "name", None)


def _is_answer(error: Exception) -> bool:
    code = _code(error)
    return isinstance(code, int) and code != _NOT_CONNECTED


def _answers(client: Any) -> bool:
    try:
        return bool(client.get_server_version(timeout=_CONNECTING_S))
    except Exception:  # noqa: BLE001  # as in MilvusConnection.call
        return False


def _unavailable() -> StoreUnavailable:
    return StoreUnavailable("the index does not answer; retry later")
