"""What every detector offers, and the suppression of overlapping finds that they share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.faces import Box, DetectedFace, Floats, Pixels


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single truth
class Look:
    """A canvas to search: RGB pixels that show a picture from their top left corner on.

    `scale` is float32 (2,): pixels of the canvas for one of the picture, across and down. `smallest_px` is
    the smallest face that is asked for, in pixels of the canvas; 0 leaves it to the detector. An `eager` look
    takes less certain finds as well, so that a closer look may decide.
    """

    canvas: Pixels
    scale: Floats
    smallest_px: float = 0.0
    eager: bool = False


class FaceDetector(Protocol):
    """Finds faces on canvases.

    `size` is the canvas for a whole photograph, (width, height). Faces of `sure_px` on a canvas are found,
    and those of `eager_px` by an eager look; it is None where canvases of another size bring nothing.
    """

    size: tuple[int, int]
    sure_px: float
    eager_px: float | None

    def detect(self, pixels: Pixels) -> list[DetectedFace]:
        """Return what one look at upright RGB pixels (height, width, 3) shows, best score first."""
        ...

    def whole(self, pixels: Pixels, smallest_px: float = 0) -> Look:
        """Return the look at a whole photograph that the makers of the model take.

        `smallest_px` counts pixels of the photograph.
        """
        ...

    def resized(self, pixels: Pixels, scale: float) -> Pixels:
        """Return pixels at another scale, as the model wants them resized."""
        ...

    def look(self, looks: Sequence[Look]) -> list[list[DetectedFace]]:
        """Return the faces of each canvas, best score first, in pixels of its picture; boxes are not clipped.

        Canvases of one size share a run of the model.
        """
        ...


def scale_of(canvas: Pixels, pixels: Pixels) -> Floats:
    """Return the scale at which a canvas shows all of some pixels."""
    sides, whole = canvas.shape[1::-1], pixels.shape[1::-1]
    return np.array([shown / side for shown, side in zip(sides, whole, strict=True)], np.float32)


def faces_from_arrays(
    boxes: Floats, landmarks: Floats, scores: Floats, masks: Floats | None = None
) -> list[DetectedFace]:
    """Make faces of corners (N, 4), landmarks (N, 5, 2), scores (N,) and masks (N,), keeping their order."""
    stated = [None] * len(boxes) if masks is None else masks.tolist()
    return [
        DetectedFace(
            # In double precision, so that the far corner can be had again to the last bit.
            box=Box(x1, y1, x2 - x1, y2 - y1),
            landmarks=points.astype(np.float32),
            detection_score=float(score),
            mask=mask,
        )
        for (x1, y1, x2, y2), points, score, mask in zip(
            boxes.astype(np.float64).tolist(), landmarks, scores, stated, strict=True
        )
    ]


def suppress(boxes: Floats, scores: Floats, overlap: float, *, of_smaller: bool = False) -> NDArray[np.intp]:
    """Return the indices of the boxes that no better one overlaps by more than `overlap`, best first.

    `boxes` is (N, 4): left, top, right, bottom, the last pixel included, as SCRFD and MTCNN count.
    Overlap is intersection over union, or over the smaller of the two with `of_smaller`.
    """
    areas = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    order = np.argsort(-scores, kind="stable")
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        corner = np.maximum(boxes[best, :2], boxes[rest, :2])
        opposite = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.prod(np.maximum(0, opposite - corner + 1), axis=1)
        smaller, union = np.minimum(areas[best], areas[rest]), areas[best] + areas[rest] - shared
        order = rest[shared <= overlap * (smaller if of_smaller else union)]
    return np.array(kept, np.intp)
