"""From a face's landmarks to the crop that an embedder is fed."""

import cv2
import numpy as np

from facegrid.domain.alignment import Alignment, similarity_transform
from facegrid.domain.faces import Floats, Pixels


def align(pixels: Pixels, landmarks: Floats, alignment: Alignment) -> Pixels:
    """Return the aligned crop, uint8 RGB (side, side, 3); what lies outside the photograph is black.

    One bilinear warp from the full photograph: a second one would cost accuracy.
    """
    matrix = similarity_transform(landmarks, alignment.points)
    crop = cv2.warpAffine(pixels, matrix, (alignment.side, alignment.side), flags=cv2.INTER_LINEAR)
    return np.asarray(crop, np.uint8)
