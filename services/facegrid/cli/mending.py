"""`facegrid gallery rebuild` and `facegrid gallery check`: a gallery's index and records, held together."""

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Annotated

import typer
from rich.console import Console

from facegrid.cli.connect import Data, Server, connected
from facegrid.cli.galleries import Name
from facegrid.cli.jobs import follow, stoppable
from facegrid.cli.output import AsJson, table
from facegrid.v1 import maintenance_service_pb2 as pb

_NAMES_SHOWN = 10
_UNDONE = {
    pb.PROBLEM_DAMAGED: "restore what is named above from a backup and check again; nothing else has it",
    pb.PROBLEM_PHOTOGRAPH_MISSING: "restore it from a backup, or enrol the person again",
    pb.PROBLEM_UNFINISHED: "the next start of the server removes it",
    pb.PROBLEM_EMPTY_SUBJECT: "the next start of the server removes it",
}
_HARMLESS = {pb.PROBLEM_UNUSED_CLAIM, pb.PROBLEM_SET_ASIDE}


def rebuild_index(name: Name, as_json: AsJson = False, server: Server = "", data: Data = None) -> None:
    """Make a gallery's index anew from its records; searches go on meanwhile."""
    with connected(server, data) as client, stoppable("the old index stays in service"):
        (step,) = follow(client.maintenance.rebuild_index(name))
    rebuilt = step.rebuilt
    if as_json:
        shown = {"gallery": name, "encounters": rebuilt.encounters, "templates": rebuilt.templates}
        typer.echo(json.dumps({**shown, "seconds": rebuilt.seconds}))
        return
    typer.echo(
        f"the index of gallery {name} holds {rebuilt.templates} templates of {rebuilt.encounters} "
        f"encounters, rebuilt in {rebuilt.seconds:.1f} s"
    )


def check_gallery(
    name: Name,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Mend what can be mended: what is damaged is set aside, and nothing lost."
        ),
    ] = False,
    as_json: AsJson = False,
    server: Server = "",
    data: Data = None,
) -> None:
    """Compare a gallery's records and index with each other and with what they promise.

    It exits with 1 where something is wrong that was not repaired.
    """
    names = defaultdict[tuple[pb.Problem.ValueType, bool], list[str]](list)
    with connected(server, data) as client, stoppable("run the same command again to check the rest"):
        for step in follow(client.maintenance.check_gallery(name, repair=repair)):
            finding = step.finding
            if not step.HasField("finding"):
                check = step.check
            elif as_json:
                typer.echo(
                    json.dumps(
                        {
                            "problem": _words(finding.problem),
                            "name": finding.name,
                            "repaired": finding.repaired,
                        }
                    )
                )
            elif len(alike := names[finding.problem, finding.repaired]) < _NAMES_SHOWN:
                alike.append(finding.name)
    if as_json:
        typer.echo(json.dumps({"gallery": name, **_check_json(check)}))
    else:
        _show(check, names)
        _advise(check, repair=repair)
    if not check.sound:
        raise typer.Exit(1)


def _show(check: pb.GalleryCheck, names: Mapping[tuple[pb.Problem.ValueType, bool], list[str]]) -> None:
    shown = table("Problem", "Found", "Repaired", "Which")
    for one in check.problems:
        problem = _words(one.problem) + (" (harmless)" if one.problem in _HARMLESS else "")
        which = [*names[one.problem, False], *names[one.problem, True]][:_NAMES_SHOWN]
        more = ["…"] * (one.found > len(which))
        shown.add_row(problem, str(one.found), str(one.repaired), "\n".join([*which, *more]))
    if check.problems:
        Console().print(shown)
    wrong = "something is wrong" if check.complete else "the records can't be loaded"
    typer.echo(
        f"{check.encounters} encounters with {check.samples} samples, {check.compacted} of them in segments; "
        f"{check.indexed} rows in the index: {'sound' if check.sound else wrong}"
    )


def _advise(check: pb.GalleryCheck, *, repair: bool) -> None:
    """Say what to do about what is still wrong."""
    wrong = {one.problem: one.found - one.repaired for one in check.problems if one.found > one.repaired}
    if not repair and not wrong.keys() <= _HARMLESS:
        typer.echo("--repair mends what can be mended without a backup")
    for problem in sorted(wrong.keys() & _UNDONE.keys()) if repair else ():
        typer.echo(f"{wrong[problem]} {_words(problem)}: {_UNDONE[problem]}")


def _check_json(check: pb.GalleryCheck) -> dict[str, object]:
    return {
        "sound": check.sound,
        "complete": check.complete,
        "encounters": check.encounters,
        "samples": check.samples,
        "compacted": check.compacted,
        "indexed": check.indexed,
        "problems": {
            _words(one.problem): {"found": one.found, "repaired": one.repaired} for one in check.problems
        },
        "seconds": check.seconds,
    }


def _words(problem: pb.Problem.ValueType) -> str:
    return pb.Problem.Name(problem).removeprefix("PROBLEM_").lower().replace("_", " ")
