"""Long jobs of a server: a bar while they run, and a word where they are stopped."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from facegrid.cli.photographs import errors_console


def follow(steps: Iterator[Any]) -> Iterator[Any]:
    """Show the progress of a job and yield its other messages."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(
        *columns, console=errors_console, disable=not errors_console.is_terminal, transient=True
    ) as bar:
        task = bar.add_task("", total=None)
        for step in steps:
            if step.HasField("progress"):
                progress = step.progress
                bar.update(
                    task, description=progress.step, completed=progress.done, total=progress.total or None
                )
            else:
                yield step


@contextmanager
def stoppable(words: str) -> Iterator[None]:
    """Let Ctrl-C end a command with some words."""
    try:
        yield
    except KeyboardInterrupt:
        errors_console.print(f"stopped; {words}", highlight=False)
        raise typer.Exit(130) from None
