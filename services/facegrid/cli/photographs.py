"""Work over many photographs: read each, call, show progress, go on past the bad ones, report them last."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from facegrid.client import CallFailed

_CALLS_AT_ONCE = 4
_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")

errors_console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[_Item, _Answer]):
    """What became of one item: an answer, or an error's sentence and what is at fault.

    That is a field or file, and the measures whose quality rules are broken.
    """

    item: _Item
    answer: _Answer | None
    error: str = ""
    field: str = ""
    measures: Sequence[str] = ()


class _RateColumn(ProgressColumn):
    """Photographs a second."""

    def render(self, task: Task) -> Text:
        """Show the rate of the last moments."""
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="progress.data.speed")


def for_each(
    items: Sequence[_Item], work: Callable[[_Item], _Answer], title: str
) -> Iterable[Outcome[_Item, _Answer]]:
    """Yield the outcome of each item in order, several under way at once, with a progress bar."""
    pool = ThreadPoolExecutor(_CALLS_AT_ONCE)
    try:
        with progress_bar() as progress:
            task = progress.add_task(title, total=len(items))
            for outcome in pool.map(lambda item: _attempt(work, item), items):
                progress.advance(task)
                yield outcome
    finally:
        pool.shutdown(cancel_futures=True)


def _attempt(work: Callable[[_Item], _Answer], item: _Item) -> Outcome[_Item, _Answer]:
    try:
        return Outcome(item, work(item))
    except CallFailed as failure:
        measures = failure.metadata.get("measures", "").replace(",", " ").split()
        return Outcome(item, None, str(failure), failure.field, measures)
    except IsADirectoryError as error:
        return Outcome(item, None, "is a folder; name the photographs in it", str(error.filename))
    except OSError as error:
        return Outcome(item, None, error.strerror or str(error), str(error.filename))


def progress_bar() -> Progress:
    """Return a bar of counts, rate and time left, which is gone at the end and not shown to programs."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
        console=errors_console,
        disable=not errors_console.is_terminal,
        transient=True,
    )


def report_failures(failures: Sequence[tuple[Path, str]]) -> None:
    """Name each bad photograph with its reason, and exit with 1 where there is one."""
    for path, reason in failures:
        errors_console.print(Text(f"✗ {path}: {reason}", style="red"), soft_wrap=True)
    if failures:
        raise typer.Exit(1)
