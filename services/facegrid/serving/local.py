"""The one-process runtime: a server of its own, or one inside another program on a Unix socket."""

import asyncio
import os
import signal
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    closing,
    contextmanager,
)

import structlog

from facegrid.domain.errors import ConfigurationError, Unavailable
from facegrid.gateway.access import Security
from facegrid.gateway.server import GatewayServer
from facegrid.gateway.tls import on_loopback
from facegrid.metrics import Metrics, serving
from facegrid.serving.engines import Vision, build_engine
from facegrid.serving.security import inner_security, open_security
from facegrid.serving.stores import OpenStore, open_store
from facegrid.serving.succession import following
from facegrid.serving.wiring import Application, build_application
from facegrid.settings import Settings
from facegrid.storage.objects.files import FolderLock

_LAST_PORT = 65535


async def serve_forever(settings: Settings, listen: str, *, insecure: bool) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises ConfigurationError."""
    check_addresses(listen, settings, insecure=insecure)
    stopping, log = asyncio.Event(), structlog.get_logger()
    loading = asyncio.current_task()
    _on_signals(loading.cancel if loading else stopping.set)
    try:
        async with _running(settings, listen, open_security(settings)) as address:
            _on_signals(stopping.set)
            log.info("serving", address=address)
            await stopping.wait()
            log.info("draining", seconds=settings.drain_s)
    except asyncio.CancelledError:
        log.info("stopped while loading")


def check_addresses(listen: str, settings: Settings, *, insecure: bool) -> None:
    """Raise ConfigurationError for what is no address, and for one that anyone may call unless `insecure`."""
    known = settings.tls_certificate and (settings.tls_client_ca or settings.auth_jwks)
    if not (listen.startswith("unix:") or _is_loopback(listen) or known or insecure):
        raise ConfigurationError(
            f"{listen} can be reached from other machines and nobody would know who calls; set "
            "FACEGRID_TLS_CERTIFICATE, FACEGRID_TLS_KEY, FACEGRID_AUTH_POLICY, and FACEGRID_TLS_CLIENT_CA or "
            "FACEGRID_AUTH_JWKS; or listen on 127.0.0.1, or insist with --insecure"
        )
    if settings.metrics and not (_is_loopback(settings.metrics) or insecure):
        raise ConfigurationError(
            f"the metrics at {settings.metrics} can be read from other machines, by anyone; serve them on "
            "127.0.0.1, or insist with --insecure"
        )


def _on_signals(act: Callable[[], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, act)


class LocalRuntime:
    """The service on a Unix socket, in a thread of this process."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings; nothing runs yet."""
        self._settings = settings
        self._folder = tempfile.TemporaryDirectory(prefix="facegrid-")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="facegrid", daemon=True)
        alone = settings.model_copy(update={"metrics": ""})  # which a server beside it may serve
        self._context = _running(alone, f"unix:{self._folder.name}/socket", inner_security(alone))

    def start(self) -> str:
        """Start and return the address once all is loaded. Raises ConfigurationError."""
        self._thread.start()
        try:
            return asyncio.run_coroutine_threadsafe(self._context.__aenter__(), self._loop).result()
        except BaseException:
            self._end()
            raise

    def stop(self) -> None:
        """Let the calls under way end, and stop."""
        asyncio.run_coroutine_threadsafe(self._context.__aexit__(None, None, None), self._loop).result()
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._folder.cleanup()


@asynccontextmanager
async def _running(settings: Settings, listen: str, security: Security) -> AsyncIterator[str]:
    with closing(build_engine(settings, workers=os.cpu_count() or 1)) as engine:
        async with running(settings, listen, engine, security) as address:
            yield address


@asynccontextmanager
async def running(settings: Settings, listen: str, vision: Vision, security: Security) -> AsyncIterator[str]:
    """Serve around the models until the context ends, then drain; yields the address.

    Raises ConfigurationError.
    """
    async with AsyncExitStack() as stack:
        lock = stack.enter_context(FolderLock(settings.data))
        store = await asyncio.to_thread(open_store, settings, lock)
        stack.push_async_callback(asyncio.to_thread, store.close)
        metrics = Metrics()
        application = stack.enter_context(
            closing(build_application(settings, store, vision, metrics, security.access))
        )
        server = GatewayServer(
            application.servicers, settings.max_message_bytes, settings.max_calls, metrics, security
        )
        with _at_start():
            await application.warm()
            if not store.succeed:
                await application.recover()
            address = await _listen(server, listen)
            store.announce(settings.advertise or _reachable(address))
            if settings.metrics:
                stack.enter_context(serving(metrics, settings.metrics))
            await stack.enter_async_context(_role(settings, store, application, server))
            stack.push_async_callback(application.shadow.close)
            stack.push_async_callback(server.stop, settings.drain_s)
            await (application.warm_galleries() if store.succeed else application.load())
        await server.set_serving(serving=True)
        watch = asyncio.create_task(application.watch(server))
        stack.callback(watch.cancel)
        yield address


def _role(
    settings: Settings, store: OpenStore, application: Application, server: GatewayServer
) -> AbstractAsyncContextManager[None]:
    if store.succeed:
        return following(settings, store, application.vision, server)
    return application.upkeep()


def _reachable(address: str) -> str:
    if address.rpartition(":")[0].strip("[]") in {"0.0.0.0", "::"}:  # noqa: S104  # not listened on here
        structlog.get_logger().warning(
            "no other server can reach this one; set FACEGRID_ADVERTISE, where there are several",
            address=address,
        )
    return address


@contextmanager
def _at_start() -> Iterator[None]:
    try:
        yield
    except Unavailable as error:
        raise ConfigurationError(error.message) from None


async def _listen(server: GatewayServer, listen: str) -> str:
    try:
        port = await server.start(listen)
    except RuntimeError:
        raise ConfigurationError(
            f"cannot listen on {listen}: it is in use, or no address of this machine"
        ) from None
    return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"


def _is_loopback(listen: str) -> bool:
    _, separator, port = listen.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > _LAST_PORT:
        raise ConfigurationError(f"{listen!r} is no address; write HOST:PORT, such as 127.0.0.1:50051")
    return on_loopback(listen)
