"""Where a command's calls go: a server, or a runtime in this process for the command's time."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from facegrid.cli.failures import fail
from facegrid.cli.serve import local_runtime
from facegrid.client import CallFailed, Client

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
    """Yield a client of the server, or of a runtime on a Unix socket where no server is named.

    A call that fails in the block becomes the command's error: a sentence and exit code 1.
    """
    with nullcontext(server) if server else local_runtime(data) as target, Client(target) as client:
        try:
            yield client
        except CallFailed as failure:
            fail(str(failure))
        except OSError as error:
            fail(f"{error.filename}: {error.strerror or error}")
