"""From a face in a photograph to the crops that models are fed."""

import cv2
import numpy as np
from numpy.typing import NDArray

from facegrid.domain.alignment import (
    Alignment,
    alignment_named,
    box_side,
    box_transform,
    similarity_transform,
)
from facegrid.domain.faces import DetectedFace, Floats, Pixels


def cut(pixels: Pixels, face: DetectedFace, name: str) -> Pixels:
    """Return a face's crop, uint8 RGB (side, side, 3), of the alignment that is named.

    "box-SIDE" cuts around the face's box, other alignments around its landmarks. Raises InvalidField.
    """
    if side := box_side(name):
        return _warped(pixels, box_transform(face.box, side), side)
    return align(pixels, face.landmarks, alignment_named(name))


def align(pixels: Pixels, landmarks: Floats, alignment: Alignment) -> Pixels:
    """Return the aligned crop, uint8 RGB (side, side, 3); what lies outside the photograph is black.

    One bilinear warp from the full photograph: a second one would cost accuracy.
    """
    return _warped(pixels, similarity_transform(landmarks, alignment.points), alignment.side)


def _warped(pixels: Pixels, matrix: NDArray[np.float64], side: int) -> Pixels:
    return np.asarray(cv2.warpAffine(pixels, matrix, (side, side), flags=cv2.INTER_LINEAR), np.uint8)
