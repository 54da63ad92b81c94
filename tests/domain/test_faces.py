"""Which of a photograph's faces is meant."""

import numpy as np
import pytest

from facegrid.domain.errors import FaceTooSmall, ManyFacesFound, NoFaceFound
from facegrid.domain.faces import Box, DetectedFace, FaceSelection, face_at, select_faces


def _face(width: float, height: float, score: float = 0.9) -> DetectedFace:
    return DetectedFace(Box(0, 0, width, height), np.zeros((5, 2), np.float32), score)


_LARGE, _MIDDLE, _TINY = _face(90, 90, 0.8), _face(50, 60), _face(19, 90)


def test_faces_below_the_limit_never_count() -> None:
    """A tiny bystander neither makes two of one nor is returned with all."""
    assert select_faces([_MIDDLE, _TINY], FaceSelection.EXACTLY_ONE, 20) == [_MIDDLE]
    assert select_faces([_MIDDLE, _TINY], FaceSelection.ALL, 20) == [_MIDDLE]


def test_the_largest_is_that_of_the_largest_area() -> None:
    """The detection score does not matter."""
    assert select_faces([_MIDDLE, _LARGE], FaceSelection.LARGEST, 20) == [_LARGE]


def test_what_cannot_be_chosen_is_told_apart() -> None:
    """None, only small ones, and too many are three errors; the sentences give the numbers."""
    with pytest.raises(NoFaceFound):
        select_faces([], FaceSelection.ALL, 20)
    with pytest.raises(FaceTooSmall, match="19 px wide and the limit is 20 px"):
        select_faces([_TINY], FaceSelection.LARGEST, 20)
    with pytest.raises(ManyFacesFound, match="2 faces"):
        select_faces([_LARGE, _MIDDLE], FaceSelection.EXACTLY_ONE, 20)


def test_the_face_of_another_detectors_box_is_the_one_that_lies_on_it() -> None:
    """Boxes of one face differ by a fifth; a face beside it, however large, is another."""
    face, beside = _at(100, 100, 80, 100), _at(190, 60, 200, 200)
    assert face_at([beside, face], Box(95, 110, 90, 80)) is face
    assert face_at([beside], face.box) is None
    assert face_at([], face.box) is None


def test_boxes_overlap_by_their_common_share() -> None:
    """All of it for equal boxes, none for boxes apart or edge to edge."""
    box = Box(0, 0, 10, 10)
    assert box.overlap(box) == 1
    assert box.overlap(Box(5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert box.overlap(Box(10, 0, 10, 10)) == box.overlap(Box(30, 30, 5, 5)) == 0


def _at(x: float, y: float, width: float, height: float) -> DetectedFace:
    return DetectedFace(Box(x, y, width, height), np.zeros((5, 2), np.float32), 0.9)
