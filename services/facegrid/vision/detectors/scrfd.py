"""SCRFD (Guo et al., 2021), and what InsightFace calls RetinaFace-10GF: its files are read alike."""

from collections.abc import Sequence

import numpy as np

from facegrid.domain.faces import Floats, Pixels
from facegrid.vision.detectors.onepass import Level, OnePassDetector, Shape, planes, rows

# InsightFace's exports: strides and boxes a cell, by the number of outputs.
_LEVELS = {
    9: tuple(Level(stride, 0, (stride, stride)) for stride in (8, 16, 32)),
    15: tuple(Level(stride, 0, (stride,)) for stride in (8, 16, 32, 64, 128)),
}


class ScrfdDetector(OnePassDetector):
    """Three or five strides: first all scores, then all boxes, then all landmarks.

    A box is stated by the distances from its cell to its four edges.
    """

    kind = "scrfd"

    @staticmethod
    def levels(outputs: Sequence[Shape]) -> tuple[Level, ...]:
        """Return the lattice of a file with five landmarks."""
        levels = _LEVELS.get(len(outputs), ())
        widths = [width for width in (1, 4, 10) for _ in levels]
        return levels if [shape[-1:] for shape in outputs] == [(width,) for width in widths] else ()

    def _blob(self, canvas: Pixels) -> Floats:
        blob = planes(canvas)
        blob -= np.float32(127.5)
        blob /= np.float32(128)
        return blob

    def _heads(self, outputs: list[Floats]) -> tuple[Floats, Floats, Floats]:
        count = len(outputs) // 3
        scores, offsets, landmarks = (rows(outputs[i : i + count]) for i in range(0, 3 * count, count))
        return scores[:, 0], offsets, landmarks

    def _boxes(self, centres: Floats, sizes: Floats, offsets: Floats) -> Floats:
        return np.hstack([centres - offsets[:, :2] * sizes, centres + offsets[:, 2:] * sizes])
