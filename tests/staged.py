"""A detector whose faces are bright squares, and crowds of them."""

from collections.abc import Sequence

import cv2
import numpy as np

from facegrid.domain.faces import Box, DetectedFace, Pixels
from facegrid.vision.detectors.contract import Look, scale_of

_BRIGHT = 128
_ONE_FACE = ((0.3, 0.35), (0.7, 0.35), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))


class SquareDetector:
    """Sees each bright square of a canvas that has enough pixels, cut ones included, and none that fills it.

    `canvases` are the sizes of those that it was given.
    """

    size, sure_px = (640, 640), 20.0

    def __init__(self, eager_px: float | None = 14.0) -> None:
        """Start with no canvas seen."""
        self.eager_px = eager_px
        self.canvases: list[tuple[int, ...]] = []

    def detect(self, pixels: Pixels) -> list[DetectedFace]:
        """Look at the whole once."""
        return self.look([self.whole(pixels)])[0]

    def whole(self, pixels: Pixels, smallest_px: float = 0) -> Look:
        """Fit the photograph into the canvas."""
        scale = 640 / max(pixels.shape[:2])
        shown, canvas = self.resized(pixels, scale), np.zeros((640, 640, 3), np.uint8)
        canvas[: shown.shape[0], : shown.shape[1]] = shown
        return Look(canvas, scale_of(shown, pixels), smallest_px * scale)

    def resized(self, pixels: Pixels, scale: float) -> Pixels:
        """Take means or leave pixels twice."""
        height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
        return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

    def look(self, looks: Sequence[Look]) -> list[list[DetectedFace]]:
        """Return the squares of each canvas."""
        return [self._squares(look) for look in looks]

    def _squares(self, look: Look) -> list[DetectedFace]:
        self.canvases.append(look.canvas.shape[:2])
        needed = self.eager_px if look.eager and self.eager_px else self.sure_px
        most = 0.9 * max(look.canvas.shape)
        bright = (look.canvas[..., 0] > _BRIGHT).astype(np.uint8)
        found = cv2.connectedComponentsWithStats(bright)[2][1:]
        return [
            square(x / look.scale[0], y / look.scale[1], width / look.scale[0], height / look.scale[1])
            for x, y, width, height, _ in found
            if needed - 1 <= max(width, height) < most
        ]


def square(x: float, y: float, width: float, height: float) -> DetectedFace:
    """Return the face that a square is."""
    landmarks = np.array([(x + width * u, y + height * v) for u, v in _ONE_FACE], np.float32)
    return DetectedFace(Box(float(x), float(y), float(width), float(height)), landmarks, 0.9)


def crowd(seed: int, shape: tuple[int, int], sides: Sequence[int]) -> tuple[Pixels, list[Box]]:
    """Return a dark photograph with a bright square of each side that finds room, and where they are."""
    random, pixels = np.random.default_rng(seed), np.zeros((*shape, 3), np.uint8)
    taken, boxes = np.zeros(shape, bool), []
    for side in (side for side in sides for _ in range(20)):
        y, x = (int(random.integers(0, length - side)) for length in shape)
        around = (slice(max(0, y - 9), y + side + 9), slice(max(0, x - 9), x + side + 9))
        if taken[around].any() or any(box.width == side for box in boxes):
            continue
        taken[y : y + side, x : x + side] = True
        pixels[y : y + side, x : x + side] = 255
        boxes.append(Box(x, y, side, side))
    return pixels, boxes


def overlap(one: Box, other: Box) -> float:
    """Return intersection over union."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    shared = max(0.0, width) * max(0.0, height)
    return shared / (one.width * one.height + other.width * other.height - shared)
