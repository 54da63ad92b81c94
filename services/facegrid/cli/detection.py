"""The options that say how faces are searched for."""

from enum import Enum
from typing import Annotated

import typer

from facegrid.v1 import types_pb2 as pb


class Mode(Enum):
    """How faces are searched for."""

    REFERENCE = "reference"
    FAST = "fast"


_MODES = {Mode.REFERENCE: pb.DETECTION_MODE_REFERENCE, Mode.FAST: pb.DETECTION_MODE_FAST}

Detection = Annotated[
    Mode | None,
    typer.Option(
        "--detection", help="How faces are searched for; else as the server is set.", show_default=False
    ),
]
SmallestFace = Annotated[
    float,
    typer.Option(
        "--smallest-face",
        metavar="PX",
        min=0,
        help="Find every face whose shorter side has so many pixels; 0: those that one look shows.",
    ),
]
AnyRotation = Annotated[
    bool | None,
    typer.Option(
        "--any-rotation/--upright",
        help="Find faces on their side or head as well, or not.",
        show_default=False,
    ),
]


def detection_options(
    mode: Mode | None, smallest_face_px: float, any_rotation: bool | None
) -> pb.DetectionOptions:
    """Return the options as the API takes them; None leaves it to the server."""
    return pb.DetectionOptions(
        mode=_MODES[mode] if mode else pb.DETECTION_MODE_UNSPECIFIED,
        smallest_face_px=smallest_face_px,
        any_rotation=any_rotation,
    )
