"""What is found in a photograph, and which of it a request means.

Coordinates are pixels of the upright photograph, origin top left; boxes are not clipped to its frame.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.errors import FaceTooSmall, ManyFacesFound, NoFaceFound

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

# Measured: boxes that MTCNN, SCRFD-2.5GF and YuNet put around one face, 274 pairs on some 35 photographs,
# overlap by 0.63 at least, and those of faces beside each other not at all.
_SAME_FACE = 0.3


@dataclass(frozen=True, slots=True)
class Box:
    """A face's rectangle, in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def shorter_side(self) -> float:
        """The side that a size limit is held against, in pixels."""
        return min(self.width, self.height)

    def overlap(self, other: "Box") -> float:
        """Return the share of both boxes' common area in the area that they cover together, 0 to 1."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        shared = max(0.0, width) * max(0.0, height)
        return shared / (self.width * self.height + other.width * other.height - shared)


@dataclass(frozen=True, slots=True)
class QualityMeasure:
    """One measure of a face: its native value, and that value's worth from 0 (worst) to 100 (best)."""

    measure: str
    value: float
    component: float
    algorithm: str


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single truth
class DetectedFace:
    """A face in a photograph.

    `landmarks` is float32 (5, 2): the eye, nose and mouth-corner points in the order image-left eye,
    image-right eye, nose, image-left mouth corner, image-right mouth corner. `crops` holds one aligned
    uint8 RGB picture (side, side, 3) for each alignment that was asked for. `mask` is the probability that a
    mask covers the face, where the detector states it.
    """

    box: Box
    landmarks: Floats
    detection_score: float
    quality: tuple[QualityMeasure, ...] = ()
    crops: Mapping[str, Pixels] = field(default_factory=dict, repr=False)
    mask: float | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Detection:
    """All faces of one photograph, best score first, and the upright photograph's size in pixels."""

    width: int
    height: int
    faces: tuple[DetectedFace, ...]


class FaceSelection(Enum):
    """Which of a photograph's faces a request means."""

    EXACTLY_ONE = "exactly_one"
    LARGEST = "largest"
    ALL = "all"


def select_faces(
    faces: Sequence[DetectedFace], selection: FaceSelection, smallest_px: float
) -> list[DetectedFace]:
    """Return the faces that the selection means; those smaller than `smallest_px` never count.

    Raises NoFaceFound, FaceTooSmall (faces, but each below the limit) or ManyFacesFound.
    """
    usable = [face for face in faces if face.box.shorter_side >= smallest_px]
    if not usable:
        raise _nothing_usable(faces, smallest_px)
    if selection is FaceSelection.ALL:
        return usable
    if selection is FaceSelection.EXACTLY_ONE and len(usable) > 1:
        raise ManyFacesFound(
            f"the photograph shows {len(usable)} faces where exactly one is asked for; "
            "crop it to the person meant, or send faces = LARGEST"
        )
    return [max(usable, key=lambda face: face.box.width * face.box.height)]


def face_at(faces: Sequence[DetectedFace], box: Box) -> DetectedFace | None:
    """Return the face that another detector puts into this box; None where none lies there."""
    best = max(faces, key=lambda face: face.box.overlap(box), default=None)
    return best if best and best.box.overlap(box) >= _SAME_FACE else None


def _nothing_usable(faces: Sequence[DetectedFace], smallest_px: float) -> NoFaceFound | FaceTooSmall:
    if not faces:
        return NoFaceFound(
            "no face was found; send a photograph that shows a face from the front, cropped to the person "
            "if the picture is large"
        )
    largest = max(face.box.shorter_side for face in faces)
    return FaceTooSmall(
        f"the largest face is {largest:.0f} px wide and the limit is {smallest_px:.0f} px; "
        "send a photograph of higher resolution or taken from nearer"
    )
