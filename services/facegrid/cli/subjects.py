"""`facegrid subject`: the subjects of a gallery are listed, seen, changed and removed."""

import json
from enum import Enum
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from facegrid.cli.connect import Data, Server, connected
from facegrid.cli.labels import Metadata, SubGalleries, parse_metadata, plain_metadata, status_name
from facegrid.cli.output import AsJson, table, time_text
from facegrid.v1 import types_pb2 as pb

subject_app = typer.Typer(
    no_args_is_help=True, help="List, show, change and delete the subjects of a gallery."
)

GalleryOption = Annotated[str, typer.Option("--gallery", metavar="NAME", help="The gallery.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
SubjectId = Annotated[str, typer.Argument(metavar="ID", help="The subject's id.")]


class StatusName(Enum):
    """Whether searches find something."""

    ACTIVE = "active"
    INACTIVE = "inactive"

    @property
    def message(self) -> pb.Status.ValueType:
        """The API's value."""
        return pb.Status.Value(f"STATUS_{self.name}")


@subject_app.command("list")
def list_subjects(
    gallery: GalleryOption, as_json: AsJson = False, server: Server = "", data: Data = None
) -> None:
    """List the subjects of a gallery by id."""
    with connected(server, data) as client:
        subjects = sorted(client.list_subjects(gallery), key=lambda subject: subject.subject_id)
    if as_json:
        for subject in subjects:
            typer.echo(json.dumps({"subject": subject.subject_id, "created": time_text(subject.create_time)}))
        return
    shown = table("Subject", "First enrolled")
    for subject in subjects:
        shown.add_row(subject.subject_id, time_text(subject.create_time))
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
    if found.status == pb.STATUS_INACTIVE:
        typer.echo(f"subject {subject} is inactive: searches do not find it")
    shown = table("Encounter", "Enrolled", "Labels", "Sample", "Photograph (sha256)", "Kept", "Quality")
    for encounter in found.encounters:
        for place, sample in enumerate(encounter.samples):
            overall = [one.value for one in sample.face.quality if one.measure == "facegrid_quality"]
            shown.add_row(
                encounter.encounter_id,
                time_text(encounter.create_time),
                escape(_labels(encounter)),
                str(place),
                f"{sample.sha256[:16]}…",
                "yes" if sample.photograph_kept else "no",
                f"{overall[0]:.0f}" if overall else "",
            )
    Console().print(shown)


@subject_app.command("update")
def update_subject(
    subject: SubjectId,
    gallery: GalleryOption,
    encounter: Annotated[
        str, typer.Option(metavar="ID", help="Change this encounter, and not the subject itself.")
    ] = "",
    status: Annotated[
        StatusName | None, typer.Option(help="What is inactive is kept, and not found by searches.")
    ] = None,
    metadata: Metadata = None,
    sub_gallery: SubGalleries = None,
    server: Server = "",
    data: Data = None,
) -> None:
    """Change a subject's status, or the labels of an encounter: those that are named, each as a whole."""
    if encounter and not (status or metadata or sub_gallery):
        raise typer.BadParameter("name what changes: --status, --metadata or --sub-gallery")
    if not encounter and (metadata or sub_gallery or not status):
        raise typer.BadParameter(
            "--status alone is a subject's; --metadata and --sub-gallery need --encounter"
        )
    with connected(server, data) as client:
        if encounter:
            client.update_encounter(
                gallery,
                subject,
                encounter,
                metadata=parse_metadata(metadata) if metadata else None,
                sub_galleries=sub_gallery or None,
                status=status.message if status else None,
            )
        elif status:
            client.update_subject(gallery, subject, status.message)
    typer.echo(f"{'encounter ' + encounter if encounter else 'subject ' + subject} is changed")


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


def _subject_json(subject: pb.Subject) -> dict[str, object]:
    return {
        "subject": subject.subject_id,
        "created": time_text(subject.create_time),
        "status": status_name(subject.status),
        "encounters": [
            {
                "encounter": encounter.encounter_id,
                "created": time_text(encounter.create_time),
                "status": status_name(encounter.status),
                "metadata": plain_metadata(encounter.metadata),
                "sub_galleries": list(encounter.sub_galleries),
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


def _labels(encounter: pb.Encounter) -> str:
    metadata = [f"{key}={value}" for key, value in plain_metadata(encounter.metadata).items()]
    inactive = ["inactive"] if encounter.status == pb.STATUS_INACTIVE else []
    return "\n".join([*inactive, *metadata, *(f"in {name}" for name in encounter.sub_galleries)])
