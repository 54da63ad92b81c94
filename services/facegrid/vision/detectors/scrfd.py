"""SCRFD (Guo et al., 2021): one pass over three strides, with five landmarks."""

from collections.abc import Sequence

import cv2
import numpy as np

from facegrid.domain.faces import DetectedFace, Floats, Pixels
from facegrid.vision.detectors.contract import faces_from_arrays, suppress
from facegrid.vision.manifest import PackError
from facegrid.vision.session import Session

_STRIDES = (8, 16, 32)
_ANCHORS = 2  # a cell


class ScrfdDetector:
    """SCRFD as InsightFace exports it: nine outputs, scores, boxes and landmarks at strides 8, 16, 32."""

    def __init__(
        self, session: Session, *, input_size: int, score_threshold: float, overlap_threshold: float
    ) -> None:
        """Fit photographs into squares of `input_size` pixels. Raises PackError for another kind of model."""
        widths = [shape[-1] for shape in session.output_shapes]
        if widths != [1, 1, 1, 4, 4, 4, 10, 10, 10]:
            raise PackError(
                f"the detector's outputs have the widths {widths}, which is no SCRFD with five landmarks; "
                "give an InsightFace file whose name ends in bnkps or kps"
            )
        self._session = session
        self._size = input_size
        self._score_threshold = score_threshold
        self._overlap_threshold = overlap_threshold

    def detect(self, pixels: Pixels) -> list[DetectedFace]:
        """Return the faces, best score first."""
        return self.detect_batch([pixels])[0]

    def detect_batch(self, photographs: Sequence[Pixels]) -> list[list[DetectedFace]]:
        """Return the faces of each photograph, best score first; the photographs may differ in size."""
        canvases, scales = zip(*map(self._fit, photographs), strict=True)
        outputs = [
            output.reshape(len(canvases), -1, output.shape[-1])
            for output in self._session.run(_blob(np.stack(canvases)))
        ]
        return [self._faces([output[i] for output in outputs], scale) for i, scale in enumerate(scales)]

    def _faces(self, outputs: list[Floats], scale: float) -> list[DetectedFace]:
        levels = [self._decode(level, outputs) for level in range(len(_STRIDES))]
        boxes, points, scores = (np.concatenate(parts) for parts in zip(*levels, strict=True))
        boxes /= scale
        points /= scale
        kept = suppress(boxes, scores, self._overlap_threshold)
        return faces_from_arrays(boxes[kept], points[kept], scores[kept])

    def _fit(self, pixels: Pixels) -> tuple[Pixels, float]:
        height, width = pixels.shape[:2]
        if height > width:
            new_height, new_width = self._size, max(1, int(self._size / (height / width)))
        else:
            new_height, new_width = max(1, int(self._size * (height / width))), self._size
        canvas = np.zeros((self._size, self._size, 3), np.uint8)
        canvas[:new_height, :new_width] = cv2.resize(pixels, (new_width, new_height))
        return canvas, new_height / height

    def _decode(self, level: int, outputs: list[Floats]) -> tuple[Floats, Floats, Floats]:
        stride = _STRIDES[level]
        scores, boxes, points = outputs[level::3]
        found = np.flatnonzero(scores[:, 0] >= self._score_threshold)
        row, column = np.divmod(found // _ANCHORS, self._size // stride)
        centres = np.stack([column, row], axis=1).astype(np.float32) * stride
        edges = boxes[found] * stride
        corners = np.hstack([centres - edges[:, :2], centres + edges[:, 2:]])
        return corners, centres[:, None] + points[found].reshape(-1, 5, 2) * stride, scores[found, 0]


def _blob(canvases: Pixels) -> Floats:
    return ((canvases.astype(np.float32) - np.float32(127.5)) / np.float32(128)).transpose(0, 3, 1, 2)
