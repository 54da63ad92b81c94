"""`facegrid analyze`: what is read of the faces of photographs, where the server or a gallery allows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from facegrid.cli.attributes import ATTRIBUTES_HELP, attributes_named
from facegrid.cli.connect import Data, Server, connected
from facegrid.cli.detection import AnyRotation, Detection, SmallestFace, detection_options
from facegrid.cli.output import AsJson, face_json, number
from facegrid.cli.report import Draw, Photographs, report
from facegrid.v1 import face_service_pb2 as face_pb
from facegrid.v1 import types_pb2 as pb


@dataclass(frozen=True, slots=True)
class _ReadFace:
    """One face and what was read of it."""

    face: pb.DetectedFace
    attributes: face_pb.FaceAttributes
    named: bool = True

    @property
    def points(self) -> Sequence[pb.Point]:
        """All dense landmarks."""
        deep = (pb.Point(x=point.x, y=point.y) for point in self.attributes.landmarks_68)
        return (*self.attributes.landmarks_106, *deep)

    @property
    def label(self) -> str:
        """What was read, in few letters: there may be a crowd."""
        return " ".join(short for short, _ in self._words()) or f"face {self.face.detection_score:.2f}"

    def as_json(self) -> dict[str, Any]:
        """Return the face as an object of `--json`."""
        return face_json(self.face) | {"attributes": _attributes_json(self.attributes)}

    def cells(self) -> list[str]:
        """Return the words, and how many landmarks there are."""
        points = len(self.points)
        words = [long for _, long in self._words()]
        return [", ".join([*words, *([f"{points} landmarks"] if points else [])])]

    def _words(self) -> list[tuple[str, str]]:
        """Return each attribute in short and in long."""
        read, words = self.attributes, []
        if read.HasField("age"):
            words.append((f"{read.age:.0f}y", f"{read.age:.0f} years"))
        if read.HasField("gender_presentation"):
            name = _likelier(read.gender_presentation)
            words.append((name[0], name))
        if read.HasField("pose"):
            pitch, yaw, roll = (f"{angle:.0f}°" for angle in (read.pose.pitch, read.pose.yaw, read.pose.roll))
            words.append((f"{pitch}/{yaw}/{roll}", f"pitch {pitch}, yaw {yaw}, roll {roll}"))
        if read.HasField("mask"):
            words.append((f"mask {read.mask:.2f}",) * 2)
        return words


def analyze(
    photographs: Photographs,
    attributes: Annotated[str, typer.Option(metavar="NAMES", help=ATTRIBUTES_HELP)],
    gallery: Annotated[
        str, typer.Option(metavar="NAME", help="The gallery whose permission and pack count.")
    ] = "",
    pack: Annotated[
        str, typer.Option(metavar="NAME", help="Model pack; the server's default where empty.")
    ] = "",
    detection: Detection = None,
    smallest_face: SmallestFace = 0,
    any_rotation: AnyRotation = None,
    draw: Draw = None,
    as_json: AsJson = False,
    server: Server = "",
    data: Data = None,
) -> None:
    """Read attributes of the faces of photographs. The server or the gallery must allow them."""
    wanted = attributes_named(attributes)
    options = detection_options(detection, smallest_face, any_rotation)
    with connected(server, data) as client:

        def work(path: Path) -> list[_ReadFace]:
            answer = client.analyze(
                path.read_bytes(),
                wanted,
                faces=pb.FACE_SELECTION_ALL,
                pack=pack,
                gallery=gallery,
                detection=options,
            )
            return [_ReadFace(one.face, one.attributes) for one in answer.faces]

        report(photographs, work, "Analyzing", draw, as_json, ("Attributes",))


def _likelier(presentation: face_pb.GenderPresentation) -> str:
    odds = {"feminine": presentation.feminine, "masculine": presentation.masculine}
    name = max(odds, key=odds.__getitem__)
    return f"{name} {odds[name]:.2f}"


def _attributes_json(read: face_pb.FaceAttributes) -> dict[str, Any]:
    """Return what was read; landmarks as lists of numbers, all else by its name in the API."""
    return {field.name: _value_json(value) for field, value in read.ListFields()}


def _value_json(value: Any) -> Any:
    if isinstance(value, float):
        return number(value)
    if isinstance(value, face_pb.GenderPresentation | face_pb.Pose):
        return {field.name: number(getattr(value, field.name)) for field in value.DESCRIPTOR.fields}
    return [[number(getattr(point, field.name)) for field in point.DESCRIPTOR.fields] for point in value]
