"""Parts of a photograph, each seen on a canvas of its own, and plans that take several looks in turn."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from facegrid.domain.faces import Box, DetectedFace, Floats, Pixels
from facegrid.vision.detectors.contract import FaceDetector, Look, scale_of

_Result = TypeVar("_Result")
# A plan yields looks, is sent the faces of each, and returns its result.
Plan = Generator[list[Look], list[list[DetectedFace]], _Result]

# How near to a cut, in pixels of the canvas, a box may end that the cut has nothing to do with.
_CLEAR_PX = 3.0
# What a tile shares with the next, in sizes of the largest face that no coarser look is sure to find.
_OVERLAP = 1.5
# How much finer a level of tiles may be than the one before, so that the overlap stays small.
_STEP = 4.0
# SCRFD's strides: a window on their lattice sees what the whole canvas sees there.
_LATTICE = 32
# How much of a canvas a window shows on each side of a face, in sizes of the face, and at least in pixels.
_MARGIN, _LEAST_MARGIN = 0.4, 32.0
# The size on its canvas at which a small face is looked at more closely.
CLOSE_PX = 32.0
# The scale beyond which a photograph shows a detector nothing more.
_FINEST = 2.0
_GREY = 127


@dataclass(frozen=True, slots=True)
class View:
    """A look at the part of a photograph that begins at `corner`, (x, y) in its pixels.

    `cut` says of left, top, right and bottom whether the photograph goes on beyond the canvas.
    """

    look: Look
    corner: tuple[float, float] = (0.0, 0.0)
    cut: tuple[bool, bool, bool, bool] = (False, False, False, False)

    def placed(self, faces: Sequence[DetectedFace]) -> list[DetectedFace]:
        """Return the faces of the look that no cut touches, in pixels of the photograph."""
        return [moved(face, *self.corner) for face in faces if not self._is_cut(face.box)]

    def _is_cut(self, box: Box) -> bool:
        height, width = self.look.canvas.shape[:2]
        across, down = self.look.scale
        gaps = (
            box.x * across,
            box.y * down,
            width - (box.x + box.width) * across,
            height - (box.y + box.height) * down,
        )
        return any(cut and gap < _CLEAR_PX for cut, gap in zip(self.cut, gaps, strict=True))


def see(views: Sequence[View]) -> Plan[list[list[DetectedFace]]]:
    """Look at several views at once and return the faces of each, in pixels of the photograph."""
    found = yield [view.look for view in views]
    return [view.placed(faces) for view, faces in zip(views, found, strict=True)]


def together(plans: Sequence[Plan[_Result]]) -> Plan[list[_Result]]:
    """Carry out several plans side by side, so that their looks share runs of the model."""
    results: dict[int, _Result] = {}
    asked: dict[int, list[Look]] = {}

    def send(number: int, answer: list[list[DetectedFace]] | None) -> None:
        try:
            asked[number] = next(plans[number]) if answer is None else plans[number].send(answer)
        except StopIteration as stop:
            results[number] = stop.value

    for number in range(len(plans)):
        send(number, None)
    while asked:
        asking = asked.copy()
        answers = iter((yield [look for looks in asking.values() for look in looks]))
        asked.clear()
        for number, looks in asking.items():
            send(number, [next(answers) for _ in looks])
    return [results[number] for number in range(len(plans))]


def carry_out(plan: Plan[_Result], detector: FaceDetector) -> _Result:
    """Take a plan's looks with a detector and return its result."""
    try:
        looks = next(plan)
        while True:
            looks = plan.send(detector.look(looks) if looks else [])
    except StopIteration as stop:
        result: _Result = stop.value
        return result


def needed_scale(needed_px: float, smallest_px: float) -> float:
    """Return the scale at which a face of the smallest size has so many pixels."""
    return min(_FINEST, needed_px / smallest_px)


def pyramid(detector: FaceDetector, pixels: Pixels, smallest_px: float) -> list[View]:
    """Return eager views that show every face of `smallest_px`, the whole photograph first."""
    needed = detector.eager_px or detector.sure_px
    finest = needed_scale(needed, smallest_px)
    scale = finest
    while scale * max(pixels.shape[:2]) > max(detector.size):
        scale /= _STEP
    shown = detector.resized(pixels, scale)
    whole = View(Look(shown, scale_of(shown, pixels), eager=True))
    return [whole, *tiles(detector, pixels, scale, finest, eager=True)]


def tiles(
    detector: FaceDetector, pixels: Pixels, start: float, finest: float, *, eager: bool = False
) -> list[View]:
    """Return overlapping views of at most the detector's size at scales above `start`, up to `finest`.

    A face that a cut touches is whole in another tile, or large enough for a coarser look.
    """
    views: list[View] = []
    needed = detector.eager_px if eager and detector.eager_px else detector.sure_px
    while start < finest:
        finer = min(finest, _STEP * start)
        shown = detector.resized(pixels, finer)
        overlap = int(_OVERLAP * needed * finer / start)
        views += _tiles(shown, scale_of(shown, pixels), detector.size, overlap, eager=eager)
        start = finer
    return views


def _tiles(
    shown: Pixels, scale: Floats, size: tuple[int, int], overlap: int, *, eager: bool
) -> Iterator[View]:
    height, width = shown.shape[:2]
    for top, bottom in _spans(height, size[1], overlap):
        for left, right in _spans(width, size[0], overlap):
            corner = (left / float(scale[0]), top / float(scale[1]))
            cut = (left > 0, top > 0, right < width, bottom < height)
            yield View(Look(shown[top:bottom, left:right], scale, eager=eager), corner, cut)


def _spans(length: int, most: int, overlap: int) -> list[tuple[int, int]]:
    """Return where spans of at most so many pixels begin and end that cover a length and overlap."""
    count = max(1, -(-(length - overlap) // (most - overlap)))
    side = min(length, most, _up((length + (count - 1) * overlap) / count))
    return [(int(start), int(start) + side) for start in np.linspace(0, length - side, count)]


def _up(length: float) -> int:
    return int(-(-length // _LATTICE)) * _LATTICE


def trimmed(look: Look, pixels: Pixels) -> Look:
    """Return a look at a whole photograph without most of the canvas that the photograph leaves empty.

    A strip stays: a face that the frame cuts looks another one where the canvas ends with it.
    """
    height, width = (np.array(pixels.shape[:2]) * look.scale[::-1]).tolist()
    return replace(look, canvas=look.canvas[: _up(height) + _LATTICE, : _up(width) + _LATTICE])


def window(look: Look, box: Box) -> View:
    """Return the part of a look that shows a box of the photograph and its surroundings."""
    height, width = look.canvas.shape[:2]
    left, right = _span(box.x, box.width, float(look.scale[0]), width)
    top, bottom = _span(box.y, box.height, float(look.scale[1]), height)
    part = replace(look, canvas=look.canvas[top:bottom, left:right])
    corner = (left / float(look.scale[0]), top / float(look.scale[1]))
    return View(part, corner, (left > 0, top > 0, right < width, bottom < height))


def _span(start: float, length: float, scale: float, side: int) -> tuple[int, int]:
    margin = max(_MARGIN * length * scale, _LEAST_MARGIN)
    first = max(0, int(start * scale - margin) // _LATTICE * _LATTICE)
    last = _up((start + length) * scale + margin)
    return min(first, side - _LATTICE), max(_LATTICE, min(side, last))


def close_up(detector: FaceDetector, pixels: Pixels, box: Box) -> View:
    """Return a view in which a small face of the photograph has enough pixels."""
    height, width = pixels.shape[:2]
    left, top = (max(0, int(edge - box.shorter_side)) for edge in (box.x, box.y))
    right = min(width, int(box.x + box.width + box.shorter_side) + 1)
    bottom = min(height, int(box.y + box.height + box.shorter_side) + 1)
    part = pixels[top:bottom, left:right]
    shown = detector.resized(part, CLOSE_PX / box.shorter_side)
    cut = (left > 0, top > 0, right < width, bottom < height)
    return View(Look(shown, scale_of(shown, part)), (left, top), cut)


def framed(detector: FaceDetector, pixels: Pixels) -> View:
    """Return the whole photograph in the middle of a canvas with grey around it, for faces that fill it.

    The grey adds half the longer side all around. With it SCRFD-2.5GF, YuNet and MTCNN find all, all and 37
    of 38 faces cropped 8 % inside their boxes; without it none, 37 and 22.
    """
    longer = max(pixels.shape[:2])
    scale = min(float(detector.whole(pixels).scale.max()), min(detector.size) / (2 * longer))
    shown = detector.resized(pixels, scale)
    height, width = shown.shape[:2]
    margin = max(height, width) // 2
    canvas = np.full((height + 2 * margin, width + 2 * margin, 3), _GREY, np.uint8)
    canvas[margin : margin + height, margin : margin + width] = shown
    shift = scale_of(shown, pixels)
    return View(Look(canvas, shift), (-margin / float(shift[0]), -margin / float(shift[1])))


def moved(face: DetectedFace, x: float, y: float) -> DetectedFace:
    """Return a face so many pixels further to the right and down."""
    box = replace(face.box, x=face.box.x + x, y=face.box.y + y)
    return replace(face, box=box, landmarks=face.landmarks + np.array([x, y], np.float32))
