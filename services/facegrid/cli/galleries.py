"""`facegrid gallery` and `facegrid subject`: what is stored, seen and removed."""

import json
from datetime import UTC
from enum import Enum
from typing import Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table

from facegrid.cli.attributes import ATTRIBUTES_HELP, attribute_names, attributes_named
from facegrid.cli.connect import Data, Server, connected
from facegrid.cli.output import AsJson, number, table, threshold_source
from facegrid.cli.requirements import parse_requirements, show_requirement
from facegrid.v1 import types_pb2 as pb

gallery_app = typer.Typer(no_args_is_help=True, help="Make, list, show and delete galleries.")
subject_app = typer.Typer(no_args_is_help=True, help="List, show and delete the subjects of a gallery.")


class Search(Enum):
    """How a gallery is searched."""

    EXACT = "exact"
    APPROXIMATE = "approximate"


Name = Annotated[str, typer.Argument(metavar="NAME", help="The gallery's name.")]
GalleryOption = Annotated[str, typer.Option("--gallery", metavar="NAME", help="The gallery.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
SubjectId = Annotated[str, typer.Argument(metavar="ID", help="The subject's id.")]


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
            _time(gallery.create_time),
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


@subject_app.command("list")
def list_subjects(
    gallery: GalleryOption, as_json: AsJson = False, server: Server = "", data: Data = None
) -> None:
    """List the subjects of a gallery by id."""
    with connected(server, data) as client:
        subjects = sorted(client.list_subjects(gallery), key=lambda subject: subject.subject_id)
    if as_json:
        for subject in subjects:
            typer.echo(json.dumps({"subject": subject.subject_id, "created": _time(subject.create_time)}))
        return
    shown = table("Subject", "First enrolled")
    for subject in subjects:
        shown.add_row(subject.subject_id, _time(subject.create_time))
    Console().print(shown)


@subject_app.command("show")
def show_subject(
    subject: SubjectId,
    gallery: GalleryOption,
    as_json: AsJson = False,
    server: Server = "",
    data: Data = None,
) -> None:
    """Describe a subject with its encounters and samples."""
    with connected(server, data) as client:
        found = client.get_subject(gallery, subject)
    if as_json:
        typer.echo(json.dumps(_subject_json(found)))
        return
    shown = table("Encounter", "Enrolled", "Sample", "Photograph (sha256)", "Kept", "Quality")
    for encounter in found.encounters:
        for place, sample in enumerate(encounter.samples):
            overall = [one.value for one in sample.face.quality if one.measure == "facegrid_quality"]
            shown.add_row(
                encounter.encounter_id,
                _time(encounter.create_time),
                str(place),
                f"{sample.sha256[:16]}…",
                "yes" if sample.photograph_kept else "no",
                f"{overall[0]:.0f}" if overall else "",
            )
    Console().print(shown)


@subject_app.command("delete")
def delete_subject(
    subject: SubjectId,
    gallery: GalleryOption,
    yes: Yes = False,
    server: Server = "",
    data: Data = None,
) -> None:
    """Remove a subject with all its encounters."""
    with connected(server, data) as client:
        encounters = len(client.get_subject(gallery, subject).encounters)
        if not yes:
            typer.confirm(f"Remove subject {subject} with {encounters} encounters?", abort=True)
        client.delete_subject(gallery, subject)
    typer.echo(f"subject {subject} is deleted from gallery {gallery}")


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
        "created": _time(gallery.create_time),
    }


def _search_json(index: pb.IndexSettings) -> str:
    method = pb.SearchMethod.Name(index.method).removeprefix("SEARCH_METHOD_").lower()
    return f"{method}, nprobe {index.nprobe}" if index.nprobe else method


def _subject_json(subject: pb.Subject) -> dict[str, object]:
    return {
        "subject": subject.subject_id,
        "created": _time(subject.create_time),
        "encounters": [
            {
                "encounter": encounter.encounter_id,
                "created": _time(encounter.create_time),
                "samples": [
                    {
                        "sha256": sample.sha256,
                        "photograph_kept": sample.photograph_kept,
                        "template_versions": list(sample.template_versions),
                    }
                    for sample in encounter.samples
                ],
            }
            for encounter in subject.encounters
        ],
    }


def _time(stamp: Timestamp) -> str:
    return stamp.ToDatetime(tzinfo=UTC).isoformat(timespec="seconds")
