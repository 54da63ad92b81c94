"""`facegrid gallery`: galleries are made, seen and removed."""

import json
from enum import Enum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from facegrid.cli.attributes import ATTRIBUTES_HELP, attribute_names, attributes_named
from facegrid.cli.connect import Data, Server, connected
from facegrid.cli.output import AsJson, number, table, threshold_source, time_text
from facegrid.cli.requirements import parse_requirements, show_requirement
from facegrid.v1 import types_pb2 as pb

gallery_app = typer.Typer(no_args_is_help=True, help="Make, list, show and delete galleries.")


class Search(Enum):
    """How a gallery is searched."""

    EXACT = "exact"
    APPROXIMATE = "approximate"


Name = Annotated[str, typer.Argument(metavar="NAME", help="The gallery's name.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@gallery_app.command("create")
def create_gallery(
    name: Name,
    pack: Annotated[
        str, typer.Option(metavar="NAME", help="Model pack; the server's default where empty.")
    ] = "",
    verify_threshold: Annotated[
        float | None,
        typer.Option(metavar="X", help="Lowest score that verify calls a match; else the pack's."),
    ] = None,
    identify_threshold: Annotated[
        float | None,
        typer.Option(metavar="X", help="Lowest score that identify calls a match; else the pack's."),
    ] = None,
    keep_photographs: Annotated[bool, typer.Option(help="Store the photographs of enrolments.")] = True,
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="What a face must keep to be enrolled, as 'inter_eye_distance>=60'; repeat it.",
        ),
    ] = None,
    attributes: Annotated[
        str, typer.Option(metavar="NAMES", help=f"What analyze may read. {ATTRIBUTES_HELP}")
    ] = "",
    search: Annotated[
        Search, typer.Option(help="Compare every template, or those that an index in Milvus picks.")
    ] = Search.EXACT,
    server: Server = "",
    data: Data = None,
) -> None:
    """Make an empty gallery."""
    rules = parse_requirements(require or [])
    with connected(server, data) as client:
        gallery = client.create_gallery(
            name,
            pack=pack,
            verify_threshold=verify_threshold,
            identify_threshold=identify_threshold,
            keep_photographs=keep_photographs,
            quality_rules=rules,
            attributes=attributes_named(attributes),
            index=pb.IndexSettings(method=pb.SearchMethod.Value(f"SEARCH_METHOD_{search.name}")),
        )
    typer.echo(f"gallery {gallery.name} is bound to {gallery.template_version}")


@gallery_app.command("list")
def list_galleries(as_json: AsJson = False, server: Server = "", data: Data = None) -> None:
    """List the galleries."""
    with connected(server, data) as client:
        galleries = list(client.list_galleries())
    if as_json:
        for gallery in galleries:
            typer.echo(json.dumps(_gallery_json(gallery)))
        return
    shown = table("Gallery", "Template version", "Identify threshold", "Photographs", "Made")
    for gallery in galleries:
        shown.add_row(
            gallery.name,
            gallery.template_version,
            f"{gallery.identify_threshold.value:.3f}",
            "kept" if gallery.keep_photographs else "not kept",
            time_text(gallery.create_time),
        )
    Console().print(shown)


@gallery_app.command("show")
def show_gallery(name: Name, as_json: AsJson = False, server: Server = "", data: Data = None) -> None:
    """Describe a gallery."""
    with connected(server, data) as client:
        gallery = client.get_gallery(name)
    shown = _gallery_json(gallery) | {"subjects": gallery.subject_count, "revision": gallery.revision}
    if as_json:
        typer.echo(json.dumps(shown))
        return
    rows = Table(show_header=False)
    for key, value in shown.items():
        rows.add_row(key, "\n".join(value) if isinstance(value, list) else str(value))
    Console().print(rows)


@gallery_app.command("delete")
def delete_gallery(
    name: Name,
    yes: Yes = False,
    server: Server = "",
    data: Data = None,
) -> None:
    """Remove a gallery with all subjects, photographs and templates."""
    with connected(server, data) as client:
        subjects = client.get_gallery(name).subject_count
        if not yes:
            typer.confirm(f"Remove gallery {name} with {subjects} subjects?", abort=True)
        client.delete_gallery(name)
    typer.echo(f"gallery {name} is deleted")


def _gallery_json(gallery: pb.Gallery) -> dict[str, object]:
    return {
        "gallery": gallery.name,
        "pack": gallery.pack,
        "template_version": gallery.template_version,
        "verify_threshold": number(gallery.verify_threshold.value),
        "verify_threshold_source": threshold_source(gallery.verify_threshold),
        "identify_threshold": number(gallery.identify_threshold.value),
        "identify_threshold_source": threshold_source(gallery.identify_threshold),
        "keep_photographs": gallery.keep_photographs,
        "quality_rules": [show_requirement(rule) for rule in gallery.quality_rules],
        "search": _search_json(gallery.index),
        "attributes": attribute_names(list(gallery.attributes)),
        "migration": pb.MigrationState.Name(gallery.migration).removeprefix("MIGRATION_STATE_")
        if gallery.migration
        else None,
        "created": time_text(gallery.create_time),
    }


def _search_json(index: pb.IndexSettings) -> str:
    method = pb.SearchMethod.Name(index.method).removeprefix("SEARCH_METHOD_").lower()
    return f"{method}, nprobe {index.nprobe}" if index.nprobe else method
