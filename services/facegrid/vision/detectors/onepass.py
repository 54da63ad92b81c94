"""Detectors that look once at a canvas and correct a lattice of boxes laid over it.

Their kinds differ in what the model is fed, in the lattice, and in how a box is stated; all else is here.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import ClassVar, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from facegrid.domain.faces import DetectedFace, Floats, Pixels
from facegrid.vision.detectors.contract import Look, faces_from_arrays, suppress
from facegrid.vision.manifest import PackError
from facegrid.vision.session import Session

Shape = tuple[int | None, ...]

# What share of the threshold an eager look is content with.
_EAGERNESS = 0.4


class Level(NamedTuple):
    """One level of a lattice, in pixels: a cell each `stride`, the first one's centre at `shift`."""

    stride: int
    shift: float
    sizes: tuple[int, ...]


class OnePassDetector(ABC):
    """Runs the model on a canvas and drops what a better find overlaps.

    Heads are rows in the order of levels, rows, columns and the boxes of a cell: scores (K,), offsets
    (K, 4) and landmarks (K, 10), both counted in sizes of their box.
    """

    kind: ClassVar[str]
    # Of 38 faces shrunk step by step and shown at two places each, SCRFD-2.5GF finds all from 20 px on, and
    # 97 % at 14 px; all of those at 12 px with the threshold of an eager look.
    sure_px = 20.0
    _eager_px = 14.0

    def __init__(
        self,
        session: Session,
        *,
        input_size: tuple[int, int],
        score_threshold: float,
        overlap_threshold: float,
    ) -> None:
        """Fit photographs into canvases of `input_size` pixels, (width, height).

        Raises PackError for another kind of model.
        """
        self._levels = self.levels(session.output_shapes)
        if not self._levels:
            raise PackError(
                f"the model is no {self.kind} with five landmarks, its outputs are "
                f"{shapes_in_words(session.output_shapes)}; correct detector.kind or give another file"
            )
        self._session = session
        self.size = input_size
        self.eager_px = None if any(session.input_shape[2:]) else self._eager_px
        self._score_threshold = score_threshold
        self._overlap_threshold = overlap_threshold

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
        """Return the model's input (1, 3, height, width) of RGB pixels."""

    @abstractmethod
    def _heads(self, outputs: list[Floats]) -> tuple[Floats, Floats, Floats]:
        """Return scores, offsets and landmarks of all levels."""

    def _masks(self, outputs: list[Floats]) -> Floats | None:  # noqa: ARG002  # likewise
        """Return the probabilities of a mask (K,), where the model states them."""
        return None

    def detect(self, pixels: Pixels) -> list[DetectedFace]:
        """Return what one look at upright RGB pixels shows, best score first."""
        return self.look([self.whole(pixels)])[0]

    def whole(self, pixels: Pixels, smallest_px: float = 0) -> Look:  # noqa: ARG002  # sees all
        """Return the photograph fitted into the canvas, the rest of which is black."""
        (height, width), (most_wide, most_high) = pixels.shape[:2], self.size
        if height / width > most_high / most_wide:
            new_height, new_width = most_high, max(1, int(most_high / (height / width)))
        else:
            new_height, new_width = max(1, int(most_wide * (height / width))), most_wide
        canvas = np.zeros((most_high, most_wide, 3), np.uint8)
        canvas[:new_height, :new_width] = cv2.resize(pixels, (new_width, new_height))
        return Look(canvas, np.full(2, new_height / height, np.float32))

    def resized(self, pixels: Pixels, scale: float) -> Pixels:
        """Return pixels at another scale, between whose pixels it interpolates."""
        height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
        return np.asarray(cv2.resize(pixels, (width, height)), np.uint8)

    def look(self, looks: Sequence[Look]) -> list[list[DetectedFace]]:
        """Return the faces of each canvas. Raises PackError where the file is made for another size."""
        found: list[list[DetectedFace]] = [[]] * len(looks)
        for canvases in self._alike(looks):
            blobs = [self._blob(canvas) for canvas in canvases.values()]
            outputs = self._session.run(blobs[0] if len(blobs) == 1 else np.concatenate(blobs))
            for place, (i, canvas) in enumerate(canvases.items()):
                ours = [_one(output, place, len(canvases)) for output in outputs]
                found[i] = self._faces(ours, canvas.shape, looks[i])
        return found

    def _alike(self, looks: Sequence[Look]) -> Iterator[dict[int, Pixels]]:
        """Yield canvases of one size for one run, each under its look's place, as the model takes them."""
        sizes: dict[tuple[int, ...], dict[int, Pixels]] = defaultdict(dict)
        for i, look in enumerate(looks):
            canvas = self._widened(look.canvas)
            sizes[canvas.shape][i] = canvas
        for canvases in sizes.values():
            most = self._session.most_items(next(iter(canvases.values())).size)
            for start in range(0, len(canvases), most):
                yield dict(islice(canvases.items(), start, start + most))

    def _widened(self, canvas: Pixels) -> Pixels:
        height, width = canvas.shape[:2]
        if self.eager_px is None:
            new_width, new_height = self.size
        else:
            coarsest = max(level.stride for level in self._levels)
            new_width, new_height = (-(-side // coarsest) * coarsest for side in (width, height))
        if (new_width, new_height) == (width, height):
            return canvas
        widened = np.zeros((new_height, new_width, 3), np.uint8)
        widened[:height, :width] = canvas
        return widened

    def _faces(self, outputs: list[Floats], shape: tuple[int, ...], look: Look) -> list[DetectedFace]:
        height, width, _ = shape
        scores, offsets, landmarks = self._heads(outputs)
        masks = self._masks(outputs)
        if len(scores) != (count := _count(width, height, self._levels)):
            raise PackError(
                f"the model has {len(scores)} boxes for {width}×{height} pixels where {count} belong; "
                "set detector.input_size to the size that the file is made for"
            )
        found = np.flatnonzero(scores >= self._score_threshold * (_EAGERNESS if look.eager else 1))
        (centres, sizes), scores = _lattice(found, width, height, self._levels), scores[found]
        boxes = self._boxes(centres, sizes, offsets[found])
        points: Floats = centres[:, None] + landmarks[found].reshape(-1, 5, 2) * sizes[:, None]
        kept = self._keep(boxes, scores, look.scale)
        return faces_from_arrays(
            np.divide(boxes[kept], np.tile(look.scale, 2)),
            np.divide(points[kept], look.scale),
            scores[kept],
            None if masks is None else masks[found][kept],
        )

    def _boxes(self, centres: Floats, sizes: Floats, offsets: Floats) -> Floats:
        """Return corners (N, 4) of offsets that move a box's centre and stretch its sides by powers of e."""
        moved, half = centres + offsets[:, :2] * sizes, sizes * np.exp(offsets[:, 2:]) / 2
        return np.hstack([moved - half, moved + half])

    def _keep(self, boxes: Floats, scores: Floats, scale: Floats) -> NDArray[np.intp]:
        """Return the indices of the finds to keep, best first; boxes are those of the canvas."""
        return suppress(np.divide(boxes, np.tile(scale, 2)), scores, self._overlap_threshold)


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


def _count(width: int, height: int, levels: Sequence[Level]) -> int:
    return sum((width // level.stride) * (height // level.stride) * len(level.sizes) for level in levels)


def _lattice(
    found: NDArray[np.intp], width: int, height: int, levels: Sequence[Level]
) -> tuple[Floats, Floats]:
    """Return the centres (N, 2) and sizes (N, 1) of the boxes in these rows of the heads."""
    centres, sizes, first = [], [], 0
    for level in levels:
        columns, rows_of, each = width // level.stride, height // level.stride, len(level.sizes)
        last = first + columns * rows_of * each
        here = found[(found >= first) & (found < last)] - first
        cells = np.stack([here // each % columns, here // each // columns], axis=1).astype(np.float32)
        centres.append(cells * level.stride + np.float32(level.shift))
        sizes.append(np.array(level.sizes, np.float32)[here % each][:, None])
        first = last
    return np.concatenate(centres), np.concatenate(sizes)
