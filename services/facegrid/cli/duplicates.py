"""`facegrid gallery duplicates`: subjects that may be one person, in a file that can be taken up again."""

import csv
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from facegrid.cli.connect import Data, Server, connected
from facegrid.cli.failures import fail
from facegrid.cli.galleries import Name
from facegrid.cli.jobs import follow, stoppable
from facegrid.cli.output import AsJson, table
from facegrid.v1 import maintenance_service_pb2 as pb
from facegrid.v1 import types_pb2

_COLUMNS = (
    "first_subject",
    "second_subject",
    "score",
    "first_encounter",
    "first_sample",
    "second_encounter",
    "second_sample",
)


def find_duplicates(
    name: Name,
    threshold: Annotated[
        float | None,
        typer.Option(metavar="X", help="Lowest score of a pair.", show_default="the gallery's for identify"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the pairs to this .csv or .parquet file; can be stopped."),
    ] = None,
    as_json: AsJson = False,
    server: Server = "",
    data: Data = None,
) -> None:
    """Find the pairs of different subjects that score high. With --output, run it again to go on."""
    if output and output.suffix not in {".csv", ".parquet"}:
        raise typer.BadParameter(f"{output} is neither a .csv nor a .parquet file", param_hint="--output")
    journal = _Journal(output, {"gallery": name, "threshold": threshold}) if output else None
    again = "run the same command again to go on" if output else "with --output it could be taken up again"
    cursor, pairs = journal.read() if journal else ("", [])
    with connected(server, data) as client, stoppable(again):
        steps = client.maintenance.find_duplicates(name, threshold, cursor=cursor)
        for step in follow(steps):
            if step.HasField("result"):
                result = step.result
                continue
            found = [_row(pair) for pair in step.duplicates.pairs]
            pairs += found
            if journal:
                journal.add(found, step.duplicates.cursor)
            elif as_json:
                for row in found:
                    typer.echo(json.dumps(dict(zip(_COLUMNS, row, strict=True))))
    if output and journal:
        _write(output, pairs)
        journal.remove()
    elif not as_json:
        _show(pairs)
    exact = result.method == types_pb2.SEARCH_METHOD_EXACT
    typer.echo(
        f"{len(pairs)} pairs of subjects score {result.threshold:.3f} or more, "
        f"{'' if exact else 'as far as an approximate index tells, '}among {result.templates} templates; "
        f"later enrolments than revision {result.gallery_revision} may be missing",
        err=as_json,
    )


class _Journal:
    """What a job has found so far: JSON lines beside the file that they become."""

    def __init__(self, output: Path, job: dict[str, Any]) -> None:
        self._path, self._job = output.with_name(f"{output.name}.partial"), job

    def read(self) -> tuple[str, list[list[Any]]]:
        """Return the last cursor and the pairs before it, and let go of what came after."""
        lines = self._lines()
        if lines and lines[0] != self._job:
            fail(f"{self._path} is of another job; give its gallery and threshold, or remove it")
        last = max((place for place, line in enumerate(lines) if "cursor" in line), default=0)
        kept = lines[: last + 1] or [self._job]
        self._path.write_text("".join(f"{json.dumps(line)}\n" for line in kept), "utf-8")
        return kept[-1].get("cursor", ""), [row for line in kept[1:] for row in line["pairs"]]

    def _lines(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        whole = self._path.read_text("utf-8").rpartition("\n")[0]  # the last line may be torn
        return [json.loads(line) for line in whole.splitlines()]

    def add(self, pairs: list[list[Any]], cursor: str) -> None:
        """Note pairs, and the cursor behind them where there is one."""
        line = {"pairs": pairs, "cursor": cursor} if cursor else {"pairs": pairs}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")

    def remove(self) -> None:
        """Remove it when the file is written."""
        self._path.unlink()


def _row(pair: pb.DuplicatePair) -> list[Any]:
    one, other = pair.first, pair.second
    return [
        one.subject_id,
        other.subject_id,
        pair.score,
        one.encounter_id,
        one.sample,
        other.encounter_id,
        other.sample,
    ]


def _write(output: Path, pairs: list[list[Any]]) -> None:
    if output.suffix == ".csv":
        with output.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([_COLUMNS, *pairs])
        return
    from facegrid.cli.pairs_table import write_pairs  # noqa: PLC0415  # pyarrow takes long to import

    write_pairs(output, _COLUMNS, pairs)


def _show(pairs: list[list[Any]]) -> None:
    shown = table("Subject", "And", "Score")
    for first, second, score, *_ in sorted(pairs, key=lambda row: -row[2]):
        shown.add_row(first, second, f"{score:.3f}")
    if pairs:
        Console().print(shown)
