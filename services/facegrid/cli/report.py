"""Photographs taken through a call: a table or JSON lines, annotated copies, and the failures last."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer
from rich.console import Console
from rich.markup import escape

from facegrid.cli.draw import Annotation, Annotator
from facegrid.cli.output import table
from facegrid.cli.photographs import for_each, report_failures
from facegrid.v1 import types_pb2 as pb

Photographs = Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Photographs.")]
Draw = Annotated[
    Path | None, typer.Option("--draw", metavar="DIR", help="Write annotated copies into this folder.")
]


class ShownFace(Protocol):
    """One face of a photograph, with what a call said of it."""

    @property
    def face(self) -> pb.DetectedFace:
        """Where it is."""

    @property
    def label(self) -> str:
        """The words beside it in a picture."""

    @property
    def named(self) -> bool:
        """Whether nothing speaks against the label."""

    @property
    def points(self) -> Sequence[pb.Point]:
        """What is dotted beside its own five landmarks."""

    def as_json(self) -> dict[str, Any]:
        """Return the face as an object of `--json`."""

    def cells(self) -> list[str]:
        """Return what stands in the columns of this call."""


def report(
    photographs: Sequence[Path],
    work: Callable[[Path], Sequence[ShownFace]],
    title: str,
    draw: Path | None,
    as_json: bool,
    columns: Sequence[str],
) -> None:
    """Show what `work` says of each photograph; exits with 1 where one failed."""
    annotator = Annotator(draw, photographs) if draw else None
    shown = table("Photograph", "Face", "Detection", "Eyes apart", *columns)
    names = Counter(path.name for path in photographs)
    failures = []
    for outcome in for_each(photographs, work, title):
        faces = outcome.answer or []
        if outcome.error:
            failures.append((outcome.item, outcome.error))
        elif annotator:
            annotations = [Annotation(one.face, one.label, one.named, one.points) for one in faces]
            annotator.write(outcome.item, annotations)
        if as_json:
            typer.echo(photograph_json(outcome.item, faces, outcome.error))
        name = escape(outcome.item.name if names[outcome.item.name] == 1 else str(outcome.item))
        for one in faces:
            shown.add_row(name, *_place(one.face), *one.cells()[: len(columns)])
        if not faces and not outcome.error:
            shown.add_row(name, "no face")
    if not as_json and shown.row_count:
        Console().print(shown)
    if draw and len(failures) < len(photographs):
        Console(stderr=True).print(f"annotated copies are in {escape(str(draw))}", highlight=False)
    report_failures(failures)


def photograph_json(path: Path, faces: Sequence[ShownFace], error: str) -> str:
    """Return a photograph as a line of `--json`."""
    return json.dumps({"photo": str(path), "faces": [one.as_json() for one in faces], "error": error or None})


def _place(face: pb.DetectedFace) -> list[str]:
    box = face.box
    eyes = next((one.value for one in face.quality if one.measure == "inter_eye_distance"), 0.0)
    return [
        f"{box.width:.0f}×{box.height:.0f} at {box.x:.0f},{box.y:.0f}",
        f"{face.detection_score:.2f}",
        f"{eyes:.0f} px",
    ]
