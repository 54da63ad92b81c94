"""`facegrid identify`: who of one or several galleries is in a photograph, or may be a subject as well."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from facegrid.cli.connect import Data, Server, connected
from facegrid.cli.detection import AnyRotation, Detection, SmallestFace, detection_options
from facegrid.cli.labels import FilterOption, SubGalleries, parse_filter
from facegrid.cli.output import AsJson, candidate_json, table
from facegrid.cli.recognise import DECIDED, SeenFace, seen
from facegrid.cli.report import Draw, report
from facegrid.cli.selection import Faces
from facegrid.v1.identity_service_pb2 import IdentifyResponse

_Ask = Callable[..., IdentifyResponse]


def identify(
    gallery: Annotated[
        list[str], typer.Option(metavar="NAME", help="The gallery; repeat it to search several.")
    ],
    photographs: Annotated[
        list[Path] | None, typer.Argument(metavar="PHOTO...", help="Photographs.", show_default=False)
    ] = None,
    probe_subject: Annotated[
        str,
        typer.Option(
            metavar="ID", help="Search for this subject of the first gallery, and for no photograph."
        ),
    ] = "",
    top: Annotated[int, typer.Option(metavar="K", help="Most candidates for a face.")] = 10,
    filters: FilterOption = None,
    sub_gallery: SubGalleries = None,
    subject: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Search this subject alone; repeat it for several.")
    ] = None,
    faces: Annotated[Faces, typer.Option(help="Which faces of a photograph are searched.")] = Faces.ALL,
    detection: Detection = None,
    smallest_face: SmallestFace = 0,
    any_rotation: AnyRotation = None,
    draw: Draw = None,
    as_json: AsJson = False,
    server: Server = "",
    data: Data = None,
) -> None:
    """Say who of a gallery is in each photograph."""
    if bool(photographs) == bool(probe_subject):
        raise typer.BadParameter("name photographs, or --probe-subject")
    options = detection_options(detection, smallest_face, any_rotation)
    wanted = parse_filter(filters or [], sub_gallery or [])
    with connected(server, data) as client:
        client.get_gallery(gallery[0])
        ask: _Ask = partial(
            client.identify,
            gallery[0],
            other_galleries=gallery[1:],
            subject_ids=subject or [],
            filter=wanted,
            top=top,
        )
        if probe_subject:
            (found,) = _seen(ask([], probe_subject_id=probe_subject))
            _show(probe_subject, found, as_json)
            return

        def work(path: Path) -> list[SeenFace]:
            return _seen(ask([path.read_bytes()], faces=faces.selection, detection=options))

        report(photographs or [], work, "Identifying", draw, as_json, DECIDED)


def _seen(answer: IdentifyResponse) -> list[SeenFace]:
    several = bool(answer.other_searches)
    return [
        seen(
            result.face,
            answer.search.template_version,
            result.decision,
            answer.threshold,
            [
                candidate_json(one.subject_id, one.score, one.gallery if several else "")
                for one in result.candidates
            ],
        )
        for result in answer.results
    ]


def _show(probe_subject: str, found: SeenFace, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"probe_subject": probe_subject, **found.decided}))
        return
    shown = table("Subject", *DECIDED)
    shown.add_row(probe_subject, *found.cells())
    Console().print(shown)
