"""The command line: a client of the gRPC API, and the door to the server and its model packs."""

from typing import Annotated

import typer

from facegrid import __version__
from facegrid.cli.analyze import analyze
from facegrid.cli.bulk import bulk_app
from facegrid.cli.duplicates import find_duplicates
from facegrid.cli.enroll import enroll
from facegrid.cli.galleries import gallery_app
from facegrid.cli.identify import identify
from facegrid.cli.maintenance import audit_gallery, tune_gallery
from facegrid.cli.mending import check_gallery, rebuild_index
from facegrid.cli.migrations import (
    cancel_migration,
    cut_over,
    finish_migration,
    migrate,
    migration,
    roll_back,
)
from facegrid.cli.models import models_app
from facegrid.cli.recognise import detect, verify
from facegrid.cli.serve import serve
from facegrid.cli.subjects import subject_app

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Facegrid: enrol people from photographs, verify and identify them.",
)


@app.callback(invoke_without_command=True)
def _facegrid(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


for command in (enroll, identify, verify, detect, analyze, serve):
    app.command()(command)
gallery_app.command("audit")(audit_gallery)
gallery_app.command("tune")(tune_gallery)
for step in (migrate, migration, cut_over, roll_back, finish_migration, cancel_migration):
    gallery_app.command()(step)
gallery_app.command("rebuild")(rebuild_index)
gallery_app.command("check")(check_gallery)
gallery_app.command("duplicates")(find_duplicates)
app.add_typer(gallery_app, name="gallery")
app.add_typer(subject_app, name="subject")
app.add_typer(bulk_app, name="bulk")
app.add_typer(models_app, name="models")
