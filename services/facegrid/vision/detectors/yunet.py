"""YuNet (Wu et al., 2023) as OpenCV's FaceDetectorYN reads it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.faces import Floats, Pixels
from facegrid.vision.detectors.contract import suppress
from facegrid.vision.detectors.onepass import Level, OnePassDetector, Shape, planes, rows

_LEVELS = tuple(Level(stride, 0, (stride,)) for stride in (8, 16, 32))
_WIDTHS = [(1,)] * 6 + [(4,)] * 3 + [(10,)] * 3


class YunetDetector(OnePassDetector):
    """Twelve outputs: class, objectness, boxes and landmarks at three strides, fed with BGR from 0 to 255."""

    kind = "yunet"
    # With a threshold of 0.6; OpenCV's 0.9 loses one of 38 portraits in ten even at 40 px.
    sure_px = 28.0
    _eager_px = 16.0

    @staticmethod
    def levels(outputs: Sequence[Shape]) -> tuple[Level, ...]:
        """Return the lattice, one box a cell."""
        return _LEVELS if [shape[-1:] for shape in outputs] == _WIDTHS else ()

    def _blob(self, canvas: Pixels) -> Floats:
        return planes(canvas[..., ::-1])

    def _heads(self, outputs: list[Floats]) -> tuple[Floats, Floats, Floats]:
        certain, present, offsets, landmarks = (rows(outputs[i : i + 3]) for i in range(0, 12, 3))
        return np.sqrt(certain.clip(0, 1) * present.clip(0, 1))[:, 0], offsets, landmarks

    def _keep(self, boxes: Floats, scores: Floats, scale: Floats) -> NDArray[np.intp]:  # noqa: ARG002
        """Compare whole-pixel boxes of the canvas, as OpenCV does."""
        corner, size = np.trunc(boxes[:, :2]), np.trunc(boxes[:, 2:] - boxes[:, :2])
        return suppress(np.hstack([corner, corner + size - 1]), scores, self._overlap_threshold)
