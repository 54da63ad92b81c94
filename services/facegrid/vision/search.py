"""Where to look for the faces of a photograph, and how what the looks show is joined."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from facegrid.domain.detection import DetectionMode, DetectionOptions
from facegrid.domain.faces import Box, DetectedFace, Floats, Pixels
from facegrid.vision.detectors.contract import FaceDetector, Look, suppress
from facegrid.vision.looks import (
    Plan,
    View,
    close_up,
    framed,
    needed_scale,
    pyramid,
    see,
    tiles,
    together,
    trimmed,
    window,
)

# Finds of two looks that overlap by more than this are one face.
_SAME_FACE = 0.4

_Faces = list[DetectedFace]


@dataclass(frozen=True, slots=True)
class Search:
    """Finds the faces of photographs with one detector.

    `limit_px` is the size below which no face is used: a fast search that names no size looks for it.
    """

    detector: FaceDetector
    limit_px: float

    def plan(self, pixels: Pixels, options: DetectionOptions, reduction: int = 1) -> Plan[_Faces]:
        """Return the plan that finds the faces of upright pixels, best score first.

        A pixel stands for `reduction` × `reduction` of those in which sizes are stated.
        """
        smallest, limit = options.smallest_face_px / reduction, self.limit_px / reduction
        fast = options.mode is DetectionMode.FAST and self.detector.eager_px is not None

        def look(turned: Pixels) -> Plan[_Faces]:
            return self._fast(turned, smallest, limit) if fast else self._reference(turned, smallest)

        turned = _quarter_turns(pixels) if options.any_rotation else [pixels]
        found = yield from _in_turns(turned, look)
        return found or (yield from _in_turns(turned, self._frame))

    def _reference(self, pixels: Pixels, smallest: float) -> Plan[_Faces]:
        """Look at the whole as the model's makers do, and at tiles for smaller faces that are asked for."""
        whole = self.detector.whole(pixels, smallest)
        finest = needed_scale(self.detector.sure_px, smallest) if smallest else 0.0
        views = [View(whole), *tiles(self.detector, pixels, _scale(whole), finest)]
        found = yield from see(views)
        return found[0] if len(views) == 1 else _joined(_all(found))

    def _fast(self, pixels: Pixels, smallest: float, limit: float) -> Plan[_Faces]:
        """Look eagerly at the scale that the smallest face needs, then closely where that shows something.

        The closer look is a part of the whole look's canvas: it shows what the whole look would.
        """
        whole = self.detector.whole(pixels)
        smallest = smallest or max(limit, self.detector.sure_px / _scale(whole))
        found = yield from see(pyramid(self.detector, pixels, smallest))
        closer = yield from see(self._closer(pixels, whole, _joined(_all(found))))
        return _joined(_all(closer))

    def _closer(self, pixels: Pixels, whole: Look, candidates: _Faces) -> list[View]:
        """Return a view for each candidate, or one of the whole where that is less or nothing was seen."""
        small = self.detector.sure_px / _scale(whole)
        parts = [window(whole, face.box) for face in candidates if face.box.shorter_side >= small]
        all_of_it = View(trimmed(whole, pixels))
        if not candidates or sum(map(_area, parts)) > _area(all_of_it):
            parts = [all_of_it]
        tiny = [
            face.box for face in candidates if face.box.shorter_side < small and _is_shown(face.box, pixels)
        ]
        return [*parts, *(close_up(self.detector, pixels, box) for box in tiny)]

    def _frame(self, pixels: Pixels) -> Plan[_Faces]:
        (found,) = yield from see([framed(self.detector, pixels)])
        return found


def _quarter_turns(pixels: Pixels) -> list[Pixels]:
    """Return a photograph and its turns by 90, 180 and 270 degrees counter-clockwise.

    OpenCV turns 48 million pixels by 90 degrees in 0.15 s and by 180 in 1.8 s; NumPy takes 1.8 to 4 s.
    """
    turns = [pixels]
    for _ in range(3):
        turns.append(np.asarray(cv2.rotate(turns[-1], cv2.ROTATE_90_COUNTERCLOCKWISE), np.uint8))
    return turns


def _in_turns(turned: Sequence[Pixels], look: Callable[[Pixels], Plan[_Faces]]) -> Plan[_Faces]:
    """Search the quarter turns of a photograph; of the finds of a face the most upright one stays."""
    found = yield from together([look(pixels) for pixels in turned])
    if len(turned) == 1:
        return found[0]
    ranks = [face.detection_score * _uprightness(face.landmarks) for face in _all(found)]
    height, width = turned[0].shape[:2]
    return _joined(
        [_turned_back(face, turn, width, height) for turn, faces in enumerate(found) for face in faces], ranks
    )


def _uprightness(landmarks: Floats) -> float:
    """Return the cosine of the angle between the way from the eyes to the mouth and straight down.

    Detectors find some faces that lie on their side, with landmarks that lie as well. On 25 portraits in four
    turns the score alone prefers a wrong turn twice with SCRFD-2.5GF, the score times this never.
    """
    down = landmarks[3:].mean(axis=0) - landmarks[:2].mean(axis=0)
    return float(down[1] / max(float(np.linalg.norm(down)), 1e-6))


def _turned_back(face: DetectedFace, turn: int, width: int, height: int) -> DetectedFace:
    """Return a face in pixels of the photograph that was turned so many quarters counter-clockwise."""
    box = face.box
    corners = np.array([(box.x, box.y), (box.x + box.width, box.y + box.height)], np.float32)
    points = np.concatenate([corners, face.landmarks])
    for step in range(turn, 0, -1):
        points = np.stack([(width if step % 2 else height) - 1 - points[:, 1], points[:, 0]], axis=1)
    (x, y), (right, bottom) = points[:2].min(axis=0).tolist(), points[:2].max(axis=0).tolist()
    return replace(face, box=Box(x, y, right - x, bottom - y), landmarks=points[2:])


def _joined(faces: Sequence[DetectedFace], ranks: Sequence[float] | None = None) -> _Faces:
    """Return the faces that no find of a higher rank overlaps, best score first; the rank is the score."""
    if not faces:
        return []
    corners = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in (face.box for face in faces)]
    order = np.array([face.detection_score for face in faces] if ranks is None else ranks, np.float32)
    kept = suppress(np.array(corners, np.float32), order, _SAME_FACE)
    return sorted((faces[i] for i in kept), key=lambda face: -face.detection_score)


def _is_shown(box: Box, pixels: Pixels) -> bool:
    """Return whether a picture shows a pixel of a box at least; an uncertain find may lie beside it."""
    height, width = pixels.shape[:2]
    across = min(box.x + box.width, width) - max(box.x, 0)
    down = min(box.y + box.height, height) - max(box.y, 0)
    return bool(min(across, down) >= 1)


def _all(found: Iterable[_Faces]) -> _Faces:
    return [face for faces in found for face in faces]


def _scale(look: Look) -> float:
    return float(look.scale.max())


def _area(view: View) -> int:
    height, width = view.look.canvas.shape[:2]
    return int(height * width)
