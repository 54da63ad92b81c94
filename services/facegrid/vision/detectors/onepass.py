"""Detectors that look once at the whole photograph and correct a lattice of boxes laid over it.

Their kinds differ in what the model is fed, in the lattice, and in how a box is stated; all else is here.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from facegrid.domain.faces import DetectedFace, Floats, Pixels
from facegrid.vision.detectors.contract import faces_from_arrays, suppress
from facegrid.vision.manifest import PackError
from facegrid.vision.session import Session

Shape = tuple[int | None, ...]


class Level(NamedTuple):
    """One level of a lattice, in pixels: a cell each `stride`, the first one's centre at `shift`."""

    stride: int
    shift: float
    sizes: tuple[int, ...]


class OnePassDetector(ABC):
    """Fits the photograph into a square, runs the model and drops what a better find overlaps.

    Heads are rows in the order of levels, rows, columns and the boxes of a cell: scores (K,), offsets
    (K, 4) and landmarks (K, 10), both counted in sizes of their box.
    """

    kind: ClassVar[str]

    def __init__(
        self, session: Session, *, input_size: int, score_threshold: float, overlap_threshold: float
    ) -> None:
        """Fit photographs into squares of `input_size` pixels. Raises PackError for another kind of model."""
        self._levels = self.levels(session.output_shapes)
        if not self._levels:
            raise PackError(
                f"the model is no {self.kind} with five landmarks, its outputs are "
                f"{shapes_in_words(session.output_shapes)}; correct detector.kind or give another file"
            )
        self._session = session
        self._size = input_size
        self._score_threshold = score_threshold
        self._overlap_threshold = overlap_threshold
        self._centres, self._sizes = _lattice(input_size, self._levels)

    @staticmethod
    @abstractmethod
    def levels(outputs: Sequence[Shape]) -> tuple[Level, ...]:
        """Return the lattice that goes with a model's outputs, empty where they are of another kind."""

    @staticmethod
    def states_mask(outputs: Sequence[Shape]) -> bool:  # noqa: ARG004  # the kinds that can look at them
        """Return whether a model with these outputs says of each face how likely a mask covers it."""
        return False

    @abstractmethod
    def _blob(self, canvas: Pixels) -> Floats:
        """Return the model's input (1, 3, side, side) of RGB pixels."""

    @abstractmethod
    def _heads(self, outputs: list[Floats]) -> tuple[Floats, Floats, Floats]:
        """Return scores, offsets and landmarks of all levels."""

    def _masks(self, outputs: list[Floats]) -> Floats | None:  # noqa: ARG002  # likewise
        """Return the probabilities of a mask (K,), where the model states them."""
        return None

    def detect(self, pixels: Pixels) -> list[DetectedFace]:
        """Return the faces, best score first. Raises PackError where the file is made for another size."""
        return self.detect_batch([pixels])[0]

    def detect_batch(self, photographs: Sequence[Pixels]) -> list[list[DetectedFace]]:
        """Return the faces of each photograph, best score first; the photographs may differ in size."""
        canvases, scales = zip(*map(self._fit, photographs), strict=True)
        outputs = self._session.run(np.concatenate([self._blob(canvas) for canvas in canvases]))
        count = len(canvases)
        return [
            self._faces([_one(output, number, count) for output in outputs], scale)
            for number, scale in enumerate(scales)
        ]

    def _faces(self, outputs: list[Floats], scale: np.float32) -> list[DetectedFace]:
        scores, offsets, landmarks = self._heads(outputs)
        masks = self._masks(outputs)
        if len(scores) != len(self._sizes):
            raise PackError(
                f"the model has {len(scores)} boxes for {self._size} pixels where {len(self._sizes)} belong; "
                "set detector.input_size to the size that the file is made for"
            )
        found = np.flatnonzero(scores >= self._score_threshold)
        centres, sizes, scores = self._centres[found], self._sizes[found], scores[found]
        boxes = self._boxes(centres, sizes, offsets[found])
        points: Floats = centres[:, None] + landmarks[found].reshape(-1, 5, 2) * sizes[:, None]
        kept = self._keep(boxes, scores, scale)
        return faces_from_arrays(
            boxes[kept] / scale,
            points[kept] / scale,
            scores[kept],
            None if masks is None else masks[found][kept],
        )

    def _fit(self, pixels: Pixels) -> tuple[Pixels, np.float32]:
        height, width = pixels.shape[:2]
        if height > width:
            new_height, new_width = self._size, max(1, int(self._size / (height / width)))
        else:
            new_height, new_width = max(1, int(self._size * (height / width))), self._size
        canvas = np.zeros((self._size, self._size, 3), np.uint8)
        canvas[:new_height, :new_width] = cv2.resize(pixels, (new_width, new_height))
        return canvas, np.float32(new_height / height)

    def _boxes(self, centres: Floats, sizes: Floats, offsets: Floats) -> Floats:
        """Return corners (N, 4) of offsets that move a box's centre and stretch its sides by powers of e."""
        moved, half = centres + offsets[:, :2] * sizes, sizes * np.exp(offsets[:, 2:]) / 2
        return np.hstack([moved - half, moved + half])

    def _keep(self, boxes: Floats, scores: Floats, scale: np.float32) -> NDArray[np.intp]:
        """Return the indices of the finds to keep, best first; boxes are those of the canvas."""
        return suppress(boxes / scale, scores, self._overlap_threshold)


def _one(output: Floats, number: int, count: int) -> Floats:
    """Return the part of an output that is one photograph's; tables without a batch axis hold all in turn."""
    if output.ndim == 2:  # noqa: PLR2004  # rows and columns alone
        output = output.reshape(count, -1, output.shape[-1])
    return output[number : number + 1]


def rows(outputs: Sequence[Floats]) -> Floats:
    """Return outputs of one width, one a level, as rows (K, width)."""
    return np.concatenate([output.reshape(-1, output.shape[-1]) for output in outputs])


def planes(canvas: Pixels) -> Floats:
    """Return (1, 3, height, width) of (height, width, 3).

    The bytes change places before they become numbers: afterwards it takes several times as long.
    """
    return canvas.transpose(2, 0, 1)[None].astype(np.float32, order="C")


def shapes_in_words(shapes: Sequence[Shape]) -> str:
    """Return shapes as a person reads them, with ? for an axis that is not fixed."""
    return ", ".join("×".join("?" if axis is None else str(axis) for axis in shape) for shape in shapes)


def _lattice(side: int, levels: Sequence[Level]) -> tuple[Floats, Floats]:
    """Return the centres (K, 2) and sizes (K, 1) of all boxes."""
    centres, sizes = [], []
    for level in levels:
        steps = np.arange(side // level.stride, dtype=np.float32) * level.stride + np.float32(level.shift)
        cells = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        centres.append(np.repeat(cells, len(level.sizes), axis=0))
        sizes.append(np.tile(np.array(level.sizes, np.float32), len(cells))[:, None])
    return np.concatenate(centres), np.concatenate(sizes)
