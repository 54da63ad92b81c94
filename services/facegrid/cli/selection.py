"""The option that says which faces of a photograph are meant."""

from enum import Enum
from typing import Annotated

import typer

from facegrid.v1 import types_pb2 as pb


class Faces(Enum):
    """Which faces of a photograph are meant."""

    ALL = "all"
    ONE = "one"
    LARGEST = "largest"

    @property
    def selection(self) -> pb.FaceSelection.ValueType:
        """The API's value."""
        return _SELECTIONS[self]


_SELECTIONS = {
    Faces.ALL: pb.FACE_SELECTION_ALL,
    Faces.ONE: pb.FACE_SELECTION_EXACTLY_ONE,
    Faces.LARGEST: pb.FACE_SELECTION_LARGEST,
}

OneFace = Annotated[
    Faces, typer.Option("--faces", help="The one face that a photograph shows, or the largest.")
]
