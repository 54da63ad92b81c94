"""What a face is worth for recognition: measures in the spirit of ISO/IEC 29794-5, and one score of our own.

Native values have units; a component says from 0 to 100 what the value is worth. The names are ours, as
the reference implementation of the standard, OFIQ, computes each in its own way.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from facegrid.domain.alignment import ALIGNMENTS
from facegrid.domain.faces import DetectedFace, Floats, Pixels, QualityMeasure
from facegrid.vision.align import align

QUALITY_ALIGNMENT = "dlib-150"
_ALGORITHM = "facegrid/1"
# Of two packs, recognition loses nothing down to 14 px between the eyes, and nearly all at 6
# (loadtests/quality.py).
_EYES_PX = 20.0
_SMALLEST_AREA_RATIO = 0.02
# A face of average proportions in units of its inter-eye distance: x to the picture's right, y down, z away
# from the viewer (eyes, nose, mouth corners).
_MEAN_FACE = np.array(
    [(-0.5, 0, 0.1), (0.5, 0, 0.1), (0, 0.57, -0.3), (-0.41, 1.155, 0.08), (0.41, 1.155, 0.08)], np.float64
)
_FACE = (slice(30, 128), slice(30, 120))  # brows to chin, cheek to cheek, in the aligned crop of 150 px
_DARK, _BRIGHT = 25, 247
_FULL_CONTRAST = 0.18
_SHARP = 0.1
_BINS = 16


def overall_quality(components: Sequence[float]) -> float:
    """Return one score of components from 0 to 100: their harmonic mean.

    It rises with every one of them, and one that is low weighs more than a high one makes up for. Below 1
    a component counts as 1, so that the others still show. Error versus discard chose it over the geometric
    mean (loadtests/quality.py).
    """
    return float(1 / np.mean(1 / np.maximum(components, 1.0)))


def measure_quality(pixels: Pixels, face: DetectedFace, reduction: int = 1) -> tuple[QualityMeasure, ...]:
    """Return the measures of a face in upright RGB pixels, last the score over all their components.

    A pixel stands for `reduction` × `reduction` of those in which the distance between the eyes is stated.
    """
    eyes = reduction * float(np.linalg.norm(face.landmarks[1] - face.landmarks[0]))
    height, width = pixels.shape[:2]
    area = face.box.width * face.box.height / (width * height)
    measures = [
        _saturating("inter_eye_distance", eyes, _EYES_PX),
        _rising("face_area_ratio", area, _SMALLEST_AREA_RATIO),
        _measure("face_in_frame", inside := _inside(face, width, height), 100 * inside),
        *_pose(face.landmarks),
        *_appearance(align(pixels, face.landmarks, ALIGNMENTS[QUALITY_ALIGNMENT])),
        _measure("detection_score", face.detection_score, 100 * face.detection_score),
    ]
    overall = overall_quality([one.component for one in measures])
    return (*measures, _measure("facegrid_quality", overall, overall))


def _measure(name: str, value: float, component: float) -> QualityMeasure:
    return QualityMeasure(name, value, min(100.0, max(0.0, component)), _ALGORITHM)


def _rising(name: str, value: float, full: float) -> QualityMeasure:
    """Return a measure whose component rises in proportion to the value, up to 100 at `full`."""
    return _measure(name, value, 100 * value / full)


def _saturating(name: str, value: float, scale: float) -> QualityMeasure:
    """Return a measure whose component is 63 at `scale` and nears 100 beyond it."""
    return _measure(name, value, 100 * (1 - float(np.exp(-value / scale))))


def _inside(face: DetectedFace, width: int, height: int) -> float:
    """Return the share of the face's box that the picture shows."""
    box = face.box
    shown_width = max(0.0, min(box.x + box.width, width) - max(box.x, 0.0))
    shown_height = max(0.0, min(box.y + box.height, height) - max(box.y, 0.0))
    return shown_width * shown_height / (box.width * box.height)


def _pose(landmarks: Floats) -> list[QualityMeasure]:
    """Return yaw and roll in degrees, with components that fall with the squared cosine.

    Roll is that of the line between the eyes, clockwise. Yaw, positive to the picture's right, is that of the
    mean face which explains the landmarks best; five points settle it to some 10 degrees. Pitch, which a
    smile moves as well, they do not settle.
    """
    across, down = landmarks[1] - landmarks[0]
    roll = float(np.degrees(np.arctan2(down, across)))
    return [
        _measure(name, angle, 100 * max(0.0, float(np.cos(np.radians(angle)))) ** 2)
        for name, angle in (("yaw", _yaw(landmarks)), ("roll", roll))
    ]


def _yaw(landmarks: Floats) -> float:
    across, down = (landmarks[1] - landmarks[0]).astype(np.float64)
    eyes = np.hypot(across, down)
    if eyes < 1:
        return 0.0
    upright = np.array([(across, down), (-down, across)]) / eyes
    points = (landmarks - landmarks.mean(axis=0)) @ upright.T
    camera = np.diag([20 * eyes, 20 * eyes, 1.0])
    _, turned, _ = cv2.solvePnP(_MEAN_FACE, points, camera, None, flags=cv2.SOLVEPNP_SQPNP)
    rotation = cv2.Rodrigues(turned)[0]
    return float(-np.degrees(np.arctan2(rotation[0, 2], rotation[2, 2])))


def _appearance(crop: Pixels) -> list[QualityMeasure]:
    """Return what the brightness of the face's pixels tells; lengths are those of the aligned crop."""
    grey: Pixels = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[_FACE].astype(np.uint8)
    mean, spread = float(grey.mean()) / 255, float(grey.std())
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1)
    edges = float(np.abs(cv2.Laplacian(smooth, cv2.CV_32F)).mean())
    sharpness = edges / max(spread, 1.0)
    dark, bright = float((grey < _DARK).mean()), float((grey > _BRIGHT).mean())
    uniformity = _uniformity(grey)
    return [
        _saturating("sharpness", sharpness, _SHARP),
        _rising("contrast", spread / 255, _FULL_CONTRAST),
        _measure("luminance", mean, 400 * min(mean - 0.05, 0.97 - mean)),
        _measure("luminance_uniformity", uniformity, 100 * uniformity),
        _measure("under_exposure", dark, 100 * (1 - dark)),
        _measure("over_exposure", bright, 100 * (1 - bright)),
    ]


def _uniformity(grey: Pixels) -> float:
    """Return how far the histograms of the face's two halves overlap, from 0 to 1."""
    middle = grey.shape[1] // 2
    halves = [
        np.histogram(half, _BINS, (0, 256))[0] / half.size for half in (grey[:, :middle], grey[:, middle:])
    ]
    return float(np.minimum(*halves).sum())
