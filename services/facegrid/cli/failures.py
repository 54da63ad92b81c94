"""How a command ends that could not do its work."""

from typing import NoReturn

import typer


def fail(message: str) -> NoReturn:
    """Say why on standard error and exit with 1."""
    typer.echo(f"Error: {message}", err=True)
    raise typer.Exit(1) from None
