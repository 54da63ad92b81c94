"""MTCNN (Zhang et al., 2016): proposals over a pyramid, then two networks on crops of what is left."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from facegrid.domain.faces import DetectedFace, Floats, Pixels
from facegrid.vision.detectors.contract import Look, faces_from_arrays, scale_of, suppress
from facegrid.vision.manifest import PackError
from facegrid.vision.session import Session

_Squares = NDArray[np.int64]

# The proposal network's window and stride in pixels, and the pyramid's step: figures of the paper.
_WINDOW = 12
_STRIDE = 2
_STEP = 0.709
# Overlaps at which a find is dropped: within a level, across levels and after each later stage.
_LEVEL_OVERLAP = 0.5
_OVERLAP = 0.7


class MtcnnDetector:
    """The three stages as ONNX files with channels last.

    Their weights come from a framework that counts columns first: each picture goes in transposed.
    Boxes are (left, top, right, bottom) in pixels of the canvas, right and bottom excluded.
    """

    # Of 37 faces shrunk step by step, all are found from 24 px on, and 95 % at 20 px. Its own pyramid goes
    # from coarse to fine.
    sure_px = 24.0
    eager_px: float | None = None

    def __init__(
        self,
        stages: tuple[Session, Session, Session],
        *,
        input_size: int,
        smallest_face: int,
        score_thresholds: tuple[float, float, float],
    ) -> None:
        """Scale photographs down to `input_size` pixels, and look there for faces from `smallest_face` on.

        The later stages, which a picture without a face never reaches, run once for each size of batch.
        Raises PackError where their outputs are others.
        """
        self._proposal, self._refinement, self._output = stages
        for stage, side, widths in ((self._refinement, 24, [4, 2]), (self._output, 48, [4, 10, 2])):
            _check_stage(stage, side, widths)
        self.size = (input_size, input_size)
        self._smallest_face = smallest_face
        self._thresholds = score_thresholds

    def detect(self, pixels: Pixels) -> list[DetectedFace]:
        """Return what one look at upright RGB pixels shows, best score first."""
        return self.look([self.whole(pixels)])[0]

    def whole(self, pixels: Pixels, smallest_px: float = 0) -> Look:
        """Return the photograph, scaled down where it is larger than the canvas."""
        scale = min(1.0, self.size[0] / max(pixels.shape[:2]))
        canvas = self.resized(pixels, scale)
        return Look(canvas, scale_of(canvas, pixels), smallest_px * scale)

    def resized(self, pixels: Pixels, scale: float) -> Pixels:
        """Return pixels at another scale, each the mean of those that it stands for."""
        return _resized(pixels, scale)

    def look(self, looks: Sequence[Look]) -> list[list[DetectedFace]]:
        """Return the faces of each canvas, which goes through the stages alone."""
        return [self._faces(look) for look in looks]

    def _faces(self, look: Look) -> list[DetectedFace]:
        smallest = max(look.smallest_px, self.sure_px) if look.smallest_px else self._smallest_face
        proposed = self._propose(look.canvas, smallest)
        boxes, points, scores = self._locate(look.canvas, self._refine(look.canvas, proposed))
        return faces_from_arrays(
            np.divide(boxes, np.tile(look.scale, 2)), np.divide(points, look.scale), scores
        )

    def _propose(self, pixels: Pixels, smallest_face: float) -> _Squares:
        levels = [self._level(pixels, scale) for scale in _scales(min(pixels.shape[:2]), smallest_face)]
        boxes = np.concatenate([np.empty((0, 4), np.float32), *(boxes for boxes, _ in levels)])
        scores = np.concatenate([np.empty(0, np.float32), *(scores for _, scores in levels)])
        return _squares(boxes[suppress(boxes, scores, _OVERLAP)])

    def _level(self, pixels: Pixels, scale: float) -> tuple[Floats, Floats]:
        offsets, odds = self._proposal.run(_blob(_resized(pixels, scale)[None]))
        column, row = np.nonzero(odds[0, :, :, 1] >= self._thresholds[0])
        scores = odds[0, column, row, 1]
        corner = np.stack([column, row], axis=1).astype(np.float32) * _STRIDE
        windows = np.hstack([corner, corner + _WINDOW]) / np.float32(scale)
        kept = suppress(windows, scores, _LEVEL_OVERLAP)
        return _moved(windows[kept], offsets[0, column[kept], row[kept]]), scores[kept]

    def _refine(self, pixels: Pixels, squares: _Squares) -> _Squares:
        if not len(squares):
            return squares
        offsets, odds = self._refinement.run(_blob(_crops(pixels, squares, 24)))
        passed = odds[:, 1] > self._thresholds[1]
        boxes, scores = squares[passed].astype(np.float32), odds[passed, 1]
        kept = suppress(boxes, scores, _OVERLAP)
        return _squares(_moved(boxes[kept], offsets[passed][kept]))

    def _locate(self, pixels: Pixels, squares: _Squares) -> tuple[Floats, Floats, Floats]:
        if not len(squares):
            return np.empty((0, 4), np.float32), np.empty((0, 5, 2), np.float32), np.empty(0, np.float32)
        offsets, points, odds = self._output.run(_blob(_crops(pixels, squares, 48)))
        passed = odds[:, 1] > self._thresholds[2]
        boxes, scores = squares[passed].astype(np.float32), odds[passed, 1]
        corner, side = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
        landmarks = corner + points[passed].reshape(-1, 2, 5).transpose(0, 2, 1) * side
        moved = _moved(boxes, offsets[passed])
        kept = suppress(moved, scores, _OVERLAP, of_smaller=True)
        return moved[kept], landmarks[kept], scores[kept]


def _check_stage(stage: Session, side: int, widths: list[int]) -> None:
    for size in stage.batch_sizes:
        outputs = stage.run(np.zeros((size, side, side, 3), np.float32))
        if [output.shape[1:] for output in outputs] != [(width,) for width in widths]:
            raise PackError(
                f"the stage for crops of {side} px has outputs of the shapes "
                f"{[output.shape for output in outputs]} where the last axes are {widths} in MTCNN's; give "
                "another file"
            )


def _scales(shorter_side: int, smallest_face: float) -> Iterator[float]:
    scale = _WINDOW / smallest_face
    while shorter_side * scale >= _WINDOW:
        yield scale
        scale *= _STEP


def _resized(pixels: Pixels, scale: float) -> Pixels:
    if scale == 1.0:
        return pixels
    height, width = (max(1, int(np.ceil(side * scale))) for side in pixels.shape[:2])
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _blob(pictures: Pixels) -> Floats:
    """Return (N, width, height, 3) of (N, height, width, 3)."""
    return (pictures.transpose(0, 2, 1, 3).astype(np.float32) - np.float32(127.5)) / np.float32(128)


def _moved(boxes: Floats, offsets: Floats) -> Floats:
    """Move each edge by a share of its box's size."""
    size = boxes[:, 2:] - boxes[:, :2]
    return boxes + offsets * np.tile(size, 2)


def _squares(boxes: Floats) -> _Squares:
    """Return whole-pixel squares around the same centres, with the longer side."""
    size = boxes[:, 2:] - boxes[:, :2]
    side = np.maximum(1, np.rint(size.max(axis=1, initial=0, keepdims=True)))
    corner = np.rint(boxes[:, :2] + size / 2 - side / 2)
    return np.hstack([corner, corner + side]).astype(np.int64)


def _crops(pixels: Pixels, squares: _Squares, side: int) -> Pixels:
    """Return (N, side, side, 3); what lies outside the photograph is black."""
    return np.stack([_crop(pixels, square, side) for square in squares])


def _crop(pixels: Pixels, square: _Squares, side: int) -> Pixels:
    left, top, right, bottom = square
    height, width = pixels.shape[:2]
    inside = pixels[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    margins = (max(0, -top), max(0, bottom - height), max(0, -left), max(0, right - width))
    if any(margins):
        patch = np.zeros((bottom - top, right - left, 3), np.uint8)
        patch[margins[0] : margins[0] + inside.shape[0], margins[2] : margins[2] + inside.shape[1]] = inside
        inside = patch
    return np.asarray(cv2.resize(inside, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
