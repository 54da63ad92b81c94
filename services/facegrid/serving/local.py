"""The one-process runtime: a server of its own, or one inside another program on a Unix socket."""

import asyncio
import ipaddress
import os
import signal
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing

import structlog

from facegrid.domain.errors import ConfigurationError
from facegrid.gateway.server import GatewayServer
from facegrid.metrics import serving
from facegrid.serving.stores import open_store
from facegrid.serving.upkeep import upkeep
from facegrid.serving.wiring import Vision, build_application, build_engine
from facegrid.settings import Settings
from facegrid.storage.objects.files import FolderLock

_LAST_PORT = 65535


async def serve_forever(settings: Settings, listen: str, *, insecure: bool) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises ConfigurationError."""
    check_addresses(listen, settings.metrics, insecure=insecure)
    stopping, log = asyncio.Event(), structlog.get_logger()
    loading = asyncio.current_task()
    _on_signals(loading.cancel if loading else stopping.set)
    try:
        async with _running(settings, listen) as address:
            _on_signals(stopping.set)
            log.info("serving", address=address)
            await stopping.wait()
            log.info("draining", seconds=settings.drain_s)
    except asyncio.CancelledError:
        log.info("stopped while loading")


def check_addresses(listen: str, metrics: str, *, insecure: bool) -> None:
    """Check the address of the service, and that of its metrics, if there is one, as `check_address` does."""
    for address in filter(None, (listen, metrics)):
        check_address(address, insecure=insecure)


def check_address(listen: str, *, insecure: bool) -> None:
    """Raise ConfigurationError for what is no address, and for one that others reach unless `insecure`."""
    if not _is_loopback(listen) and not insecure:
        raise ConfigurationError(
            f"{listen} can be reached from other machines and there is no authentication yet; listen on "
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
        self._context = _running(alone, f"unix:{self._folder.name}/socket")

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
async def _running(settings: Settings, listen: str) -> AsyncIterator[str]:
    with closing(build_engine(settings, workers=os.cpu_count() or 1)) as engine:
        async with running(settings, listen, engine) as address:
            yield address


@asynccontextmanager
async def running(settings: Settings, listen: str, vision: Vision) -> AsyncIterator[str]:
    """Serve around the models until the context ends, then drain; yields the address.

    Raises ConfigurationError.
    """
    async with AsyncExitStack() as stack:
        lock = stack.enter_context(FolderLock(settings.data))
        store = await asyncio.to_thread(open_store, settings, lock)
        stack.push_async_callback(asyncio.to_thread, store.close)
        application = stack.enter_context(closing(build_application(settings, store, vision)))
        await application.recover()
        address = await _listen(application.server, listen)
        if settings.metrics:
            stack.enter_context(serving(application.metrics, settings.metrics))
        await stack.enter_async_context(
            upkeep(
                compact=application.compact,
                catch_up=application.catch_up,
                watch_searches=application.watch_searches,
            )
        )
        stack.push_async_callback(application.server.stop, settings.drain_s)
        store.announce(address)
        await application.load()
        watch = asyncio.create_task(application.watch())
        stack.callback(watch.cancel)
        yield address


async def _listen(server: GatewayServer, listen: str) -> str:
    try:
        port = await server.start(listen)
    except RuntimeError:
        raise ConfigurationError(
            f"cannot listen on {listen}: it is in use, or no address of this machine"
        ) from None
    return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"


def _is_loopback(listen: str) -> bool:
    if listen.startswith("unix:"):
        return True
    host, separator, port = listen.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > _LAST_PORT:
        raise ConfigurationError(f"{listen!r} is no address; write HOST:PORT, such as 127.0.0.1:50051")
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
