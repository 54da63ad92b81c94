"""A Ray of this machine's own, for as long as the program runs, and the application on it."""

import asyncio
import logging
import os
import secrets
import signal
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import yaml
from pydantic import SecretStr, ValidationError

from facegrid.domain.errors import ConfigurationError
from facegrid.serving.local import check_addresses
from facegrid.serving.ray_environment import LOOPBACK_ONLY, RAY_ENVIRONMENT
from facegrid.serving.security import open_security
from facegrid.serving.wiring import build_engine, check_pack
from facegrid.settings import Settings

os.environ.update({**RAY_ENVIRONMENT, **LOOPBACK_ONLY, **os.environ})

import ray  # after the line above
from ray import serve
from ray.serve._private.api import serve_start  # as `serve run` does: no public function deploys a config
from ray.serve._private.client import ServeControllerClient
from ray.serve.schema import ServeDeploySchema

from facegrid.serving.ray_app import Arguments

GATEWAY_NODE = "facegrid_gateway"
_OBJECT_STORE_BYTES = 80 * 2**20  # Ray's least; nothing of ours goes through it
_SHUTDOWN_S = 30  # what ending the tiers may take beyond draining the gateway


async def serve_forever_on_ray(settings: Settings, listen: str, config: Path, *, insecure: bool) -> None:
    """Run a Serve configuration until SIGTERM or SIGINT, then drain; SIGHUP deploys what changed in it.

    The settings in its `args` count where neither the environment nor a flag says otherwise. Raises
    ConfigurationError.
    """
    check_addresses(listen, settings, insecure=insecure)
    open_security(settings)  # what is wrong with it is said here, and not in the log of a replica
    if listen.endswith(":0"):
        raise ConfigurationError("a gateway that starts again must find its port; listen on a number but 0")
    check_pack(build_engine(settings, workers=1), settings.pack)
    arguments = Arguments(listen=listen, insecure=insecure, settings=_set(settings))
    schema = _read(config, arguments)
    logs, stopping = _start_ray(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        with (logs / "facegrid.out").open("w", encoding="utf-8") as printed, redirect_stdout(printed):
            await _serve(settings, schema, stopping, logs, partial(_deploy_again, config, arguments))
    finally:
        ray.shutdown()


def _set(settings: Settings) -> dict[str, Any]:
    """Return what the operator set, without the secrets, which Ray's processes inherit."""
    hidden = {name for name, value in settings if isinstance(value, SecretStr)}
    return settings.model_dump(mode="json", exclude_unset=True, exclude=hidden)


def _read(config: Path, arguments: Arguments) -> ServeDeploySchema:
    try:
        schema = ServeDeploySchema.model_validate(yaml.safe_load(config.read_text("utf-8")))
    except (ValidationError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{config} is no Serve configuration: {error}") from None
    (application,) = schema.applications
    given = Arguments.model_validate(application.args)
    own = arguments.model_copy(update={"settings": given.settings | arguments.settings})
    application.args = own.model_dump()
    return schema


async def _serve(
    settings: Settings,
    schema: ServeDeploySchema,
    stopping: asyncio.Event,
    logs: Path,
    deploy_again: Callable[[ServeControllerClient], None],
) -> None:
    log = structlog.get_logger()
    client = serve_start(proxy_location=schema.proxy_location, global_logging_config=schema.logging_config)
    _join_log()
    client.deploy_apps(schema)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, deploy_again, client)
    if address := await _ready(schema.applications[0].name, stopping, logs):
        log.info("serving", address=address, logs=str(logs))
        await stopping.wait()
    log.info("draining", seconds=settings.drain_s)
    await client.shutdown_async(timeout_s=settings.drain_s + _SHUTDOWN_S)


def _deploy_again(config: Path, arguments: Arguments, client: ServeControllerClient) -> None:
    """Deploy what changed; a configuration that cannot be read changes nothing."""
    log = structlog.get_logger()
    try:
        client.deploy_apps(_read(config, arguments))
    except (ConfigurationError, OSError) as error:
        log.warning("not deployed", cause=str(error))
    else:
        log.info("deploying", config=str(config))


def _start_ray() -> Path:
    """Start Ray with a token of its own; returns the folder of its logs. Raises ConfigurationError."""
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    try:
        context: Any = ray.init(
            address="local",
            resources={GATEWAY_NODE: 1},
            object_store_memory=_OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
        )
    except Exception as error:  # Ray raises that very class where a busy machine takes over 30 s
        raise ConfigurationError(f"Ray did not start; try again ({error})") from error
    return Path(context.address_info["session_dir"], "logs")


def _join_log() -> None:
    """Let what Ray has to say in this process come out like the rest of the log."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    serve_log = logging.getLogger("ray.serve")
    serve_log.handlers.clear()
    serve_log.propagate = True
    serve_log.setLevel(logging.WARNING)


async def _ready(name: str, stopping: asyncio.Event, logs: Path) -> str:
    """Return the gateway's address once all run; empty where the program is stopped before."""
    while not stopping.is_set():
        application = serve.status().applications[name]
        if application.status == "RUNNING":
            address: str = await serve.get_app_handle(name).address.remote()
            return address
        if application.status in {"DEPLOY_FAILED", "UNHEALTHY"}:
            raise ConfigurationError(f"the application did not start; its processes say why in {logs}/serve")
        await asyncio.sleep(0.2)
    return ""
