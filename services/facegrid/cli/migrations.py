"""`facegrid gallery migrate` and what belongs to it: moving a gallery to another model pack."""

import csv
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from facegrid.cli.connect import Data, Server, connected
from facegrid.cli.galleries import Name
from facegrid.cli.output import AsJson
from facegrid.cli.photographs import errors_console, progress_bar
from facegrid.client import Client
from facegrid.v1 import migration_service_pb2 as pb
from facegrid.v1 import types_pb2

LeaveBehind = Annotated[
    bool, typer.Option("--leave-behind", help="Insist, though encounters are left behind.")
]
Report = Annotated[
    Path | None,
    typer.Option(metavar="FILE", dir_okay=False, help="Write the encounters left behind to a CSV file."),
]


def migrate(
    name: Name,
    pack: Annotated[str, typer.Option(metavar="NAME", help="Model pack to move to.")],
    verify_threshold: Annotated[
        float | None,
        typer.Option(metavar="X", help="Lowest score that verify calls a match; else the pack's."),
    ] = None,
    identify_threshold: Annotated[
        float | None,
        typer.Option(metavar="X", help="Lowest score that identify calls a match; else the pack's."),
    ] = None,
    shadow: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Repeat this share of searches with the other pack, 0 to 1."),
    ] = None,
    report: Report = None,
    server: Server = "",
    data: Data = None,
) -> None:
    """Make templates of another pack from a gallery's photographs, beside those that searches use.

    Run it again to go on watching, or to change the share of shadow searches.
    """
    with connected(server, data) as client:
        client.migrations.start(
            name,
            pack,
            verify_threshold=verify_threshold,
            identify_threshold=identify_threshold,
            shadow=shadow,
        )
        try:
            migration = _watch(client, name)
        except KeyboardInterrupt:
            errors_console.print(
                "stopped watching; the server goes on. See how far it is with: facegrid gallery migration"
                if server
                else "stopped; run the same command again to go on"
            )
            raise typer.Exit(130) from None
        _write_report(client, name, report)
    typer.echo(
        f"gallery {name} is copied to pack {migration.pack}, {migration.left_behind} encounters are left "
        "behind; let searches use it with: facegrid gallery cut-over"
    )


def migration(
    name: Name,
    as_json: AsJson = False,
    report: Report = None,
    server: Server = "",
    data: Data = None,
) -> None:
    """Say how far a gallery's move to another pack is, and what shadow searches found."""
    with connected(server, data) as client:
        found = client.migrations.get(name)
        _write_report(client, name, report)
    shown = {
        "gallery": name,
        "state": types_pb2.MigrationState.Name(found.state).removeprefix("MIGRATION_STATE_"),
        "former_pack": found.former_pack,
        "pack": found.pack,
        "subjects": found.subject_count,
        "subjects_done": found.subjects_done,
        "left_behind": found.left_behind,
        "problem": found.problem,
        "shadow": round(found.shadow, 6),
        **{
            f"shadow_{field.name}": getattr(found.shadowed, field.name)
            for field in found.shadowed.DESCRIPTOR.fields
        },
    }
    if as_json:
        typer.echo(json.dumps(shown))
        return
    rows = Table(show_header=False)
    for key, value in shown.items():
        rows.add_row(key, str(value))
    Console().print(rows)


def cut_over(name: Name, leave_behind: LeaveBehind = False, server: Server = "", data: Data = None) -> None:
    """Let searches use the pack that a gallery was copied to."""
    with connected(server, data) as client:
        pack = client.migrations.cut_over(name, leave_behind=leave_behind).pack
    typer.echo(f"gallery {name} is searched with pack {pack}; go back with: facegrid gallery roll-back")


def roll_back(name: Name, leave_behind: LeaveBehind = False, server: Server = "", data: Data = None) -> None:
    """Let searches use the pack again that a gallery had before the cut over."""
    with connected(server, data) as client:
        pack = client.migrations.roll_back(name, leave_behind=leave_behind).former_pack
    typer.echo(f"gallery {name} is searched with pack {pack} again")


def finish_migration(
    name: Name, leave_behind: LeaveBehind = False, server: Server = "", data: Data = None
) -> None:
    """Remove the templates and photographs of the former pack, after the cut over."""
    with connected(server, data) as client:
        client.migrations.finish(name, leave_behind=leave_behind)
    typer.echo(f"the migration of gallery {name} is finished")


def cancel_migration(
    name: Name, leave_behind: LeaveBehind = False, server: Server = "", data: Data = None
) -> None:
    """Remove the templates and photographs of the new pack, before the cut over."""
    with connected(server, data) as client:
        client.migrations.cancel(name, leave_behind=leave_behind)
    typer.echo(f"the migration of gallery {name} is cancelled")


def _watch(client: Client, name: str) -> pb.Migration:
    with progress_bar() as progress:
        task, problem = progress.add_task("Migrating", total=None), ""
        for found in client.migrations.watch(name):
            progress.update(task, total=found.subject_count, completed=found.subjects_done)
            if found.problem not in {"", problem}:
                errors_console.print(f"held up: {found.problem}")
            problem = found.problem
    return found


def _write_report(client: Client, name: str, report: Path | None) -> None:
    if report is None:
        return
    with report.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["subject", "encounter", "reason"])
        for left in client.migrations.left_behind(name):
            reason = pb.LeftBehindReason.Name(left.reason).removeprefix("LEFT_BEHIND_REASON_")
            rows.writerow([left.subject_id, left.encounter_id, reason])
