"""`facegrid detect`, `identify` and `verify`: photographs in, faces with decisions out."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from facegrid.cli.connect import Data, Server, connected
from facegrid.cli.draw import Annotation, Annotator
from facegrid.cli.output import AsJson, candidate_pairs, decision_json, decision_name, face_json, number
from facegrid.cli.photographs import Outcome, for_each, report_failures
from facegrid.client import Client
from facegrid.v1 import types_pb2 as pb

Photographs = Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Photographs.")]
GalleryOption = Annotated[str, typer.Option("--gallery", metavar="NAME", help="The gallery.")]
Draw = Annotated[
    Path | None, typer.Option("--draw", metavar="DIR", help="Write annotated copies into this folder.")
]


class Faces(Enum):
    """Which faces of a photograph are searched."""

    ALL = "all"
    ONE = "one"
    LARGEST = "largest"


_SELECTIONS = {
    Faces.ALL: pb.FACE_SELECTION_ALL,
    Faces.ONE: pb.FACE_SELECTION_EXACTLY_ONE,
    Faces.LARGEST: pb.FACE_SELECTION_LARGEST,
}


@dataclass(frozen=True, slots=True)
class SeenFace:
    """One face of a photograph and, where it was searched, what was decided."""

    face: pb.DetectedFace
    decision: str = ""
    candidates: tuple[tuple[str, float], ...] = ()
    decided: dict[str, Any] | None = None

    @property
    def label(self) -> str:
        """The words beside the face in a picture."""
        if self.decision == "MATCH":
            subject, score = self.candidates[0]
            return f"{subject} {score:.2f}"
        return "no match" if self.decision else f"face {self.face.detection_score:.2f}"


def detect(
    photographs: Photographs,
    draw: Draw = None,
    as_json: AsJson = False,
    server: Server = "",
    data: Data = None,
) -> None:
    """Find the faces of photographs."""
    with connected(server, data) as client:

        def work(path: Path) -> list[SeenFace]:
            return [SeenFace(face) for face in client.detect(path.read_bytes()).faces]

        _recognise(photographs, work, "Detecting", draw, as_json, searched=())


def identify(
    photographs: Photographs,
    gallery: GalleryOption,
    top: Annotated[int, typer.Option(metavar="K", help="Most candidates for a face.")] = 10,
    faces: Annotated[Faces, typer.Option(help="Which faces of a photograph are searched.")] = Faces.ALL,
    draw: Draw = None,
    as_json: AsJson = False,
    server: Server = "",
    data: Data = None,
) -> None:
    """Say who of a gallery is in each photograph."""
    with connected(server, data) as client:
        client.get_gallery(gallery)

        def work(path: Path) -> list[SeenFace]:
            return _identify(client, gallery, path, top, faces)

        _recognise(photographs, work, "Identifying", draw, as_json)


def verify(
    photographs: Annotated[
        list[Path],
        typer.Argument(metavar="PHOTO...", help="Two photographs, or those to hold against --subject."),
    ],
    gallery: Annotated[str, typer.Option(metavar="NAME", help="The gallery of --subject.")] = "",
    subject: Annotated[str, typer.Option(metavar="ID", help="Who it is claimed to be.")] = "",
    draw: Draw = None,
    as_json: AsJson = False,
    server: Server = "",
    data: Data = None,
) -> None:
    """Say whether two photographs, or a photograph and a subject, show the same person."""
    if bool(gallery) != bool(subject):
        raise typer.BadParameter("--gallery and --subject go together")
    if not gallery and len(photographs) != 2:  # noqa: PLR2004  # A and B
        raise typer.BadParameter("name two photographs, or --gallery and --subject")
    with connected(server, data) as client:
        if gallery:
            client.get_subject(gallery, subject)
            _recognise(
                photographs, lambda path: _verify(client, gallery, subject, path), "Verifying", draw, as_json
            )
        else:
            _compare(client, photographs[0], photographs[1], draw, as_json)


def _identify(client: Client, gallery: str, path: Path, top: int, faces: Faces) -> list[SeenFace]:
    answer = client.identify(gallery, [path.read_bytes()], faces=_SELECTIONS[faces], top=top)
    return [
        _seen(
            result.face,
            answer.search.template_version,
            result.decision,
            answer.threshold,
            candidate_pairs(list(result.candidates)),
        )
        for result in answer.results
    ]


def _verify(client: Client, gallery: str, subject: str, path: Path) -> list[SeenFace]:
    answer = client.verify(gallery, subject, path.read_bytes())
    candidates = [(subject, answer.score)]
    return [_seen(answer.face, answer.search.template_version, answer.decision, answer.threshold, candidates)]


def _seen(
    face: pb.DetectedFace,
    version: str,
    decision: pb.Decision.ValueType,
    threshold: pb.Threshold,
    candidates: list[tuple[str, float]],
) -> SeenFace:
    decided = decision_json(version, decision, threshold, candidates)
    return SeenFace(face, decision_name(decision), tuple(candidates), decided)


def _compare(client: Client, first: Path, second: Path, draw: Path | None, as_json: bool) -> None:
    def work(pair: tuple[Path, Path]) -> dict[str, Any]:
        answer = client.compare(pair[0].read_bytes(), pair[1].read_bytes())
        if draw:
            annotator, label = Annotator(draw), f"score {answer.score:.2f}"
            named = answer.decision == pb.DECISION_MATCH
            annotator.write(pair[0], [Annotation(answer.first_face, label, named)])
            annotator.write(pair[1], [Annotation(answer.second_face, label, named)])
        return {
            "faces": [face_json(answer.first_face)],
            "other_faces": [face_json(answer.second_face)],
            "score": number(answer.score),
            "decision": decision_name(answer.decision),
            "threshold": number(answer.threshold.value),
            "template_version": answer.template_version,
        }

    (outcome,) = for_each([(first, second)], work, "Comparing")
    found = outcome.answer or {}
    if as_json:
        names = {"photo": str(first), "other": str(second)}
        typer.echo(json.dumps(names | found | {"error": outcome.error or None}))
    elif found:
        typer.echo(f"{found['decision']}: score {found['score']:.3f}, threshold {found['threshold']:.3f}")
    report_failures([(first, outcome.error)] if outcome.error else [])


def _recognise(
    photographs: Sequence[Path],
    work: Callable[[Path], list[SeenFace]],
    title: str,
    draw: Path | None,
    as_json: bool,
    searched: Sequence[str] = ("Decision", "Candidates"),
) -> None:
    annotator = Annotator(draw) if draw else None
    table = Table("Photograph", "Face", "Detection", "Eyes apart", *searched)
    failures = []
    for outcome in for_each(photographs, work, title):
        faces = outcome.answer or []
        if outcome.error:
            failures.append((outcome.item, outcome.error))
        elif annotator:
            annotator.write(outcome.item, [Annotation(one.face, one.label, _is_named(one)) for one in faces])
        if as_json:
            typer.echo(json.dumps(_photograph_json(outcome)))
        for one in faces:
            table.add_row(*_row(outcome.item, one)[: len(table.columns)])
    if not as_json:
        Console().print(table)
    if draw and len(failures) < len(photographs):
        Console(stderr=True).print(f"annotated copies are in {escape(str(draw))}", highlight=False)
    report_failures(failures)


def _photograph_json(outcome: Outcome[Path, list[SeenFace]]) -> dict[str, Any]:
    faces = [face_json(one.face) | (one.decided or {}) for one in outcome.answer or []]
    return {"photo": str(outcome.item), "faces": faces, "error": outcome.error or None}


def _is_named(seen: SeenFace) -> bool:
    return seen.decision != "NO_MATCH"


def _row(path: Path, seen: SeenFace) -> list[str]:
    box = seen.face.box
    eyes = next((one.value for one in seen.face.quality if one.measure == "inter_eye_distance"), 0.0)
    colour = "green" if seen.decision == "MATCH" else "yellow"
    candidates = ", ".join(f"{escape(subject)} {score:.3f}" for subject, score in seen.candidates)
    return [
        escape(path.name),
        f"{box.width:.0f}×{box.height:.0f} at {box.x:.0f},{box.y:.0f}",
        f"{seen.face.detection_score:.2f}",
        f"{eyes:.0f} px",
        f"[{colour}]{seen.decision.replace('_', ' ')}[/]",
        candidates,
    ]
