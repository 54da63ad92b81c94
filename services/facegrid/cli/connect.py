"""Where a command's calls go: a server, or a runtime in this process for the command's time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from facegrid.cli.failures import fail
from facegrid.cli.serve import local_runtime
from facegrid.client import CallFailed, Client, Credentials

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
    purpose = os.environ.get("FACEGRID_CLIENT_PURPOSE", "")
    with nullcontext(server) if server else local_runtime(data) as target:
        try:
            with Client(target, credentials=_credentials() if server else None, purpose=purpose) as client:
                yield client
        except CallFailed as failure:
            fail(str(failure))
        except OSError as error:
            fail(f"{error.filename}: {error.strerror or error}")


def _credentials() -> Credentials | None:
    """Return what the environment says of TLS; None where it says nothing."""
    ca, certificate, key, token = (
        Path(value) if (value := os.environ.get(f"FACEGRID_CLIENT_{name}")) else None
        for name in ("CA", "CERTIFICATE", "KEY", "TOKEN")
    )
    if not (ca or certificate or key or token):
        return None
    if token:
        token.read_bytes()  # now, where a missing file is a sentence and not a call that fails
    return Credentials(ca, certificate, key, partial(token.read_text, "utf-8") if token else None)
