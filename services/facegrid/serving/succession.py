"""A server that follows another one, until it takes that one's place."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress

import structlog

from facegrid.domain.errors import ConfigurationError, FacegridError, Unavailable
from facegrid.gateway.server import GatewayServer
from facegrid.serving.stores import OpenStore
from facegrid.serving.wiring import Vision, build_application
from facegrid.settings import Settings

_RETRY_S = 1.0


@asynccontextmanager
async def following(
    settings: Settings, store: OpenStore, vision: Vision, server: GatewayServer
) -> AsyncIterator[None]:
    """Send mutations to the store's owner and, when it has gone, lead: reads go on all the time."""
    server.follow("")
    task = asyncio.create_task(_succeed(settings, store, vision, server))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _succeed(settings: Settings, store: OpenStore, vision: Vision, server: GatewayServer) -> None:
    loop = asyncio.get_running_loop()

    def heed(leader: str) -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(server.follow, leader)

    try:
        owned = await asyncio.to_thread(store.succeed, heed) if store.succeed else None
        if owned:
            await _lead(settings, owned, vision, server)
    except Exception as error:  # noqa: BLE001  # whatever it was, the store must not stay without a leader
        known = isinstance(error, FacegridError | ConfigurationError)
        structlog.get_logger().error(
            "ends, for it cannot lead", cause=type(error).__name__, message=str(error) if known else ""
        )
        os.kill(os.getpid(), signal.SIGTERM)


async def _lead(settings: Settings, store: OpenStore, vision: Vision, server: GatewayServer) -> None:
    log = structlog.get_logger()
    log.info("taking over")
    async with AsyncExitStack() as stack:
        application = stack.enter_context(
            closing(build_application(settings, store, vision, server.metrics, server.security.access))
        )
        for step in (application.recover, application.load):
            while True:
                try:
                    await step()
                    break
                except Unavailable as error:
                    log.warning("waiting to lead", message=error.message)
                    await asyncio.sleep(_RETRY_S)
        stack.push_async_callback(application.shadow.close)
        await stack.enter_async_context(application.upkeep())
        server.lead(application.servicers)
        log.info("leading")
        await application.watch(server)
