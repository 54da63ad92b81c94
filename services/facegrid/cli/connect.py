"""Where a command's calls go: a server, or a runtime in this process for the command's time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from facegrid.cli.serve import local_runtime
from facegrid.client import Client

Server = Annotated[
    str,
    typer.Option(
        "--server",
        envvar="FACEGRID_SERVER",
        metavar="HOST:PORT",
        help="Talk to this server.",
        show_default=False,
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Without a server: the folder that holds everything. [env: FACEGRID_DATA]",
        show_default=False,
    ),
]


@contextmanager
def connected(server: str, data: Path | None) -> Iterator[Client]:
    """Yield a client of the server, or of a runtime on a Unix socket where no server is named."""
    if server:
        with Client(server) as client:
            yield client
        return
    with local_runtime(data) as target, Client(target) as client:
        yield client
