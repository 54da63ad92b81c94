"""What every detector offers, and the suppression of overlapping finds that they share."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.faces import Box, DetectedFace, Floats, Pixels


class FaceDetector(Protocol):
    """Finds faces in one photograph."""

    def detect(self, pixels: Pixels) -> list[DetectedFace]:
        """Return the faces in upright RGB pixels (height, width, 3), best score first.

        Coordinates are pixels of the photograph as it was given; boxes are not clipped.
        """
        ...


@runtime_checkable
class BatchDetector(Protocol):
    """Finds faces in several photographs with one run of its model."""

    def detect_batch(self, photographs: Sequence[Pixels]) -> list[list[DetectedFace]]:
        """Return for each photograph what `FaceDetector.detect` would; they may differ in size."""
        ...


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
