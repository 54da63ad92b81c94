"""`facegrid bulk import`: templates that exist already, from a file into a gallery."""

import hashlib
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from facegrid.cli.bad_rows import BadFile
from facegrid.cli.connect import Data, Server, connected
from facegrid.cli.failures import fail
from facegrid.cli.photographs import errors_console, progress_bar
from facegrid.cli.subjects import GalleryOption
from facegrid.client import Client
from facegrid.v1.bulk_service_pb2 import ImportTemplatesResponse


def import_templates(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Parquet or npz with the columns subject and template.",
        ),
    ],
    gallery: GalleryOption,
    template_version: Annotated[
        str,
        typer.Option(
            metavar="VERSION",
            help="Version of the templates, where the file does not state it.",
            show_default=False,
        ),
    ] = "",
    again: Annotated[
        bool, typer.Option("--again", help="Import once more what this file has brought already.")
    ] = False,
    server: Server = "",
    data: Data = None,
) -> None:
    """Import templates, all or none; stopped, it has changed nothing, and may be run again.

    Further columns: norm, encounter, metadata (JSON), sub_galleries and status; all others become metadata.
    """
    with connected(server, data) as client:
        try:
            answer = _import(client, gallery, file, template_version, again=again)
        except BadFile as bad:
            fail(f"{bad}; nothing was imported")
        except KeyboardInterrupt:
            errors_console.print("stopped; nothing was imported, unless all is: run it again to have it so")
            raise typer.Exit(130) from None
    if answer.repeated:
        typer.echo(f"{file} was imported before: nothing was added (--again adds it once more)")
    else:
        typer.echo(f"imported {answer.received} templates")


def _import(
    client: Client, gallery: str, path: Path, version: str, *, again: bool
) -> ImportTemplatesResponse:
    from facegrid.cli.template_files import TemplateFile  # noqa: PLC0415  # pyarrow takes long to import

    file = TemplateFile(path)
    if not (version or file.template_version):
        raise BadFile(path, "does not state its template version; say it with --template-version")
    client.get_gallery(gallery)
    answer = ImportTemplatesResponse()
    with progress_bar() as progress:
        sending = progress.add_task("Importing", total=file.rows)
        indexing = progress.add_task("Indexing", total=file.rows)
        for answer in client.bulk.import_templates(
            gallery,
            version or file.template_version,
            file.messages,
            request_id=uuid4().hex if again else _request_id(path),
        ):
            progress.update(sending, completed=answer.received)
            progress.update(indexing, completed=answer.searchable)
    return answer


def _request_id(path: Path) -> str:
    """Return an id of the content, so that a file is imported once, however often it is tried."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]
