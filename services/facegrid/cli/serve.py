"""`facegrid serve`, and the runtime that other commands start for themselves: the door to `serving`."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from facegrid.cli.failures import fail
from facegrid.domain.errors import ConfigurationError, InvalidField
from facegrid.log import configure_log
from facegrid.settings import Settings


class LogFormat(Enum):
    """How the log looks."""

    CONSOLE = "console"
    JSON = "json"


def serve(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Address to listen on; port 0 takes a free one.")
    ] = "127.0.0.1:50051",
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder that holds everything. [env: FACEGRID_DATA]")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Keep objects in a bucket: https://HOST[:PORT]/BUCKET[/PREFIX]. [env: FACEGRID_STORE]",
        ),
    ] = None,
    milvus: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="Index in Milvus: a path is Milvus Lite, an URL a server. [env: FACEGRID_MILVUS]",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="auto|cpu|cuda", help="What models run on. [env: FACEGRID_DEVICE]")
    ] = None,
    ray: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Run on Ray Serve as this configuration says, such as deploy/serve.yaml."
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow an address that is not loopback: anyone may call.")
    ] = False,
    log_format: Annotated[LogFormat, typer.Option(help="For people, or for machines.")] = LogFormat.CONSOLE,
) -> None:
    """Run the service until SIGTERM, in one process unless --ray is given."""
    configure_log(json=log_format is LogFormat.JSON)
    with configuration_errors():
        chosen = settings(data=data, store=store, milvus=milvus, device=device)
        if ray is None:
            from facegrid.serving.local import serve_forever  # noqa: PLC0415  # heavy: only where it is used

            asyncio.run(serve_forever(chosen, listen, insecure=insecure))
        else:
            from facegrid.serving.ray_local import serve_forever_on_ray  # noqa: PLC0415  # likewise

            asyncio.run(serve_forever_on_ray(chosen, listen, ray, insecure=insecure))


@contextmanager
def local_runtime(data: Path | None) -> Iterator[str]:
    """Run the service in this process, on a Unix socket; yields the address."""
    configure_log(json=False, quiet=True)
    with configuration_errors():
        from facegrid.serving.local import LocalRuntime  # noqa: PLC0415  # heavy: only where it is used

        runtime = LocalRuntime(settings(data=data))
        target = runtime.start()
    try:
        yield target
    finally:
        runtime.stop()


@contextmanager
def extraction_on_ray() -> Iterator[Callable[..., Iterator[Any]]]:
    """Yield what extracts photographs on Ray, as `serving.ray_bulk` says."""
    configure_log(json=False, quiet=True)
    with configuration_errors():
        from facegrid.serving import ray_bulk  # noqa: PLC0415  # heavy: only where it is used

        with ray_bulk.extraction_on_ray() as extract:
            yield extract


def settings(**flags: Any) -> Settings:
    """Return the settings: flags that are given, then `FACEGRID_…` variables, then defaults."""
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = f"FACEGRID_{first['loc'][0]}".upper()
        raise ConfigurationError(f"{name} is {first['input']!r}: {first['msg']}") from None


@contextmanager
def configuration_errors() -> Iterator[None]:
    """Turn what keeps the program from starting into a sentence and exit code 1."""
    try:
        yield
    except OSError as error:
        fail(f"{error.filename or 'the system'}: {error.strerror or error}")
    except ModuleNotFoundError as missing:
        fail(f"{missing.name} is not installed; pip install 'facegrid[cpu,open]' brings it")
    except (ConfigurationError, InvalidField) as error:
        fail(str(error))
