"""Work over many photographs: read each, call, show progress, go on past the bad ones, report them last."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
_AHEAD = 4  # items for each call that are read or wait to be yielded
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
    """Items a second."""

    def render(self, task: Task) -> Text:
        """Show the rate of the last moments."""
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="progress.data.speed")


class _FailuresColumn(ProgressColumn):
    """Failures, where there are any."""

    def render(self, task: Task) -> Text:
        """Show their number."""
        failed = task.fields.get("failed", 0)
        return Text(f"{failed} failed" if failed else "", style="red")


def progress_bar() -> Progress:
    """Return a bar that is shown on terminals alone and goes when it is done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        _FailuresColumn(),
        TimeRemainingColumn(),
        console=errors_console,
        disable=not errors_console.is_terminal,
        transient=True,
    )


def for_each(
    items: Sequence[_Item], work: Callable[[_Item], _Answer], title: str
) -> Iterator[Outcome[_Item, _Answer]]:
    """Yield the outcome of each item in order, several under way at once, with a progress bar."""
    with progress_bar() as progress:
        task, failed = progress.add_task(title, total=len(items)), 0
        for outcome in in_order(items, lambda item: _attempt(work, item), _CALLS_AT_ONCE):
            failed += bool(outcome.error)
            progress.update(task, advance=1, failed=failed)
            yield outcome


def in_order(
    items: Iterable[_Item],
    work: Callable[[_Item], _Answer],
    calls: int,
    stop: Callable[[], None] = lambda: None,
) -> Iterator[_Answer]:
    """Yield what each item becomes, in order, several under way at once and few waiting.

    Where the caller leaves early, `stop` is called before the calls under way are waited for.
    """
    pool, waiting = ThreadPoolExecutor(calls), deque[Future[_Answer]]()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= _AHEAD * calls:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        stop()
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


def report_failures(failures: Sequence[tuple[Path, str]]) -> None:
    """Name each bad photograph with its reason, and exit with 1 where there is one."""
    for path, reason in failures:
        errors_console.print(Text(f"✗ {path}: {reason}", style="red"), soft_wrap=True)
    if failures:
        raise typer.Exit(1)
