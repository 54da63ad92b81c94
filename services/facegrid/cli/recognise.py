"""`facegrid detect` and `verify`: photographs in, faces with decisions out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from facegrid.cli.connect import Data, Server, connected
from facegrid.cli.detection import AnyRotation, Detection, SmallestFace, detection_options
from facegrid.cli.draw import Annotation, Annotator
from facegrid.cli.output import AsJson, candidate_json, decision_json, face_json
from facegrid.cli.photographs import for_each, report_failures
from facegrid.cli.report import Draw, Photographs, photograph_json, report
from facegrid.cli.selection import Faces, OneFace
from facegrid.client import Client
from facegrid.v1 import types_pb2 as pb

DECIDED = ("Decision", "Candidates")
_UNDECIDED: dict[str, Any] = {
    "template_version": None,
    "decision": None,
    "threshold": None,
    "candidates": [],
}


@dataclass(frozen=True, slots=True)
class SeenFace:
    """One face of a photograph and what was decided of it, as `--json` prints it."""

    face: pb.DetectedFace
    decided: dict[str, Any] = field(default_factory=lambda: _UNDECIDED)

    @property
    def decision(self) -> str:
        """MATCH or NO_MATCH; empty where the face was not searched."""
        return self.decided["decision"] or ""

    @property
    def named(self) -> bool:
        """Whether nothing speaks against the label."""
        return self.decision != "NO_MATCH"

    @property
    def points(self) -> Sequence[pb.Point]:
        """No points beside the landmarks of the face itself."""
        return ()

    @property
    def label(self) -> str:
        """The words beside the face in a picture."""
        if self.decision == "MATCH":
            best = self.decided["candidates"][0]
            return f"{_name(best)} {best['score']:.2f}"
        return "no match" if self.decision else f"face {self.face.detection_score:.2f}"

    def as_json(self) -> dict[str, Any]:
        """Return the face as an object of `--json`."""
        return face_json(self.face) | self.decided

    def cells(self) -> list[str]:
        """Return decision and candidates for a table."""
        colour = "green" if self.decision == "MATCH" else "yellow"
        candidates = ", ".join(
            f"{escape(_name(one))} {one['score']:.3f}" for one in self.decided["candidates"]
        )
        return [f"[{colour}]{self.decision.replace('_', ' ')}[/]", candidates]


def _name(candidate: dict[str, Any]) -> str:
    return "/".join(candidate[part] for part in ("gallery", "subject") if part in candidate)


def detect(
    photographs: Photographs,
    detection: Detection = None,
    smallest_face: SmallestFace = 0,
    any_rotation: AnyRotation = None,
    draw: Draw = None,
    as_json: AsJson = False,
    server: Server = "",
    data: Data = None,
) -> None:
    """Find the faces of photographs."""
    options = detection_options(detection, smallest_face, any_rotation)
    with connected(server, data) as client:

        def work(path: Path) -> list[SeenFace]:
            return [SeenFace(face) for face in client.detect(path.read_bytes(), detection=options).faces]

        report(photographs, work, "Detecting", draw, as_json, columns=())


def verify(
    photographs: Annotated[
        list[Path],
        typer.Argument(metavar="PHOTO...", help="Two photographs, or those to hold against --subject."),
    ],
    gallery: Annotated[str, typer.Option(metavar="NAME", help="The gallery of --subject.")] = "",
    subject: Annotated[str, typer.Option(metavar="ID", help="Who it is claimed to be.")] = "",
    faces: OneFace = Faces.ONE,
    detection: Detection = None,
    smallest_face: SmallestFace = 0,
    any_rotation: AnyRotation = None,
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
    options = detection_options(detection, smallest_face, any_rotation)
    with connected(server, data) as client:
        if gallery:
            client.get_subject(gallery, subject)

            def work(path: Path) -> list[SeenFace]:
                return _verify(client, gallery, subject, path, faces, options)

            report(photographs, work, "Verifying", draw, as_json, DECIDED)
        else:
            _compare(client, photographs[0], photographs[1], faces, options, draw, as_json)


def _verify(
    client: Client, gallery: str, subject: str, path: Path, faces: Faces, options: pb.DetectionOptions
) -> list[SeenFace]:
    answer = client.verify(gallery, subject, path.read_bytes(), faces=faces.selection, detection=options)
    candidates = [candidate_json(subject, answer.score)]
    return [seen(answer.face, answer.search.template_version, answer.decision, answer.threshold, candidates)]


def seen(
    face: pb.DetectedFace,
    version: str,
    decision: pb.Decision.ValueType,
    threshold: pb.Threshold,
    candidates: list[dict[str, Any]],
) -> SeenFace:
    """Return a face with what was decided of it."""
    return SeenFace(face, decision_json(version, decision, threshold, candidates))


def _compare(
    client: Client,
    first: Path,
    second: Path,
    faces: Faces,
    options: pb.DetectionOptions,
    draw: Path | None,
    as_json: bool,
) -> None:
    def work(pair: tuple[Path, Path]) -> tuple[SeenFace, SeenFace]:
        answer = client.compare(
            pair[0].read_bytes(), pair[1].read_bytes(), faces=faces.selection, detection=options
        )
        version, decision, threshold = answer.template_version, answer.decision, answer.threshold
        return (
            seen(
                answer.first_face, version, decision, threshold, [candidate_json(str(second), answer.score)]
            ),
            seen(
                answer.second_face, version, decision, threshold, [candidate_json(str(first), answer.score)]
            ),
        )

    (outcome,) = for_each([(first, second)], work, "Comparing")
    both = outcome.answer
    if both and draw:
        annotator, score = (
            Annotator(draw, (first, second)),
            f"score {both[0].decided['candidates'][0]['score']:.2f}",
        )
        for path, one in zip((first, second), both, strict=True):
            annotator.write(path, [Annotation(one.face, score, one.named)])
    culprit = second if outcome.field in {"second", str(second)} else first
    if as_json:
        error = f"{culprit}: {outcome.error}" if outcome.error else ""
        typer.echo(photograph_json(first, both[:1] if both else (), error))
    elif both:
        score, threshold = both[0].decided["candidates"][0]["score"], both[0].decided["threshold"]
        typer.echo(f"{both[0].decision}: score {score:.3f}, threshold {threshold:.3f}")
    report_failures([(culprit, outcome.error)] if outcome.error else [])
