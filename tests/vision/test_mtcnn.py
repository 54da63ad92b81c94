"""MTCNN with the open pack's weights finds faces where they are."""

from dataclasses import astuple
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from facegrid.vision.decode import PhotographLimits, decode
from facegrid.vision.packs import LoadedPack


def test_astronaut(open_pack: LoadedPack, astronaut: NDArray[np.uint8]) -> None:
    """One face, its landmarks where an observer sees eyes, nose and mouth, within 4 px."""
    (face,) = open_pack.detector.detect(astronaut)
    seen = [(204, 101), (247, 103), (223, 128), (202, 140), (245, 141)]
    assert np.abs(face.landmarks - seen).max() < 4
    assert face.landmarks.dtype == np.float32
    assert face.detection_score > 0.95
    assert face.box.x < 200 < face.box.x + face.box.width - 50
    assert face.box.y < 98 < face.box.y + face.box.height - 46


def test_six_people(open_pack: LoadedPack, six_people: bytes) -> None:
    """Six people give six faces, the best first."""
    found = open_pack.detector.detect(decode(six_people, PhotographLimits()))
    scores = [face.detection_score for face in found]
    assert len(found) == 6
    assert all(one >= other for one, other in pairwise(scores))


def test_coordinates_are_of_the_photograph(open_pack: LoadedPack, astronaut: NDArray[np.uint8]) -> None:
    """A photograph three times as large has its face at three times the coordinates."""
    (face,) = open_pack.detector.detect(astronaut)
    (large,) = open_pack.detector.detect(np.kron(astronaut, np.ones((3, 3, 1), np.uint8)))
    np.testing.assert_allclose(large.landmarks, 3 * face.landmarks, atol=12)
    np.testing.assert_allclose(astuple(large.box), 3 * np.array(astuple(face.box)), atol=30)


def test_face_at_the_edge(open_pack: LoadedPack, astronaut: NDArray[np.uint8]) -> None:
    """A face that the frame cuts is found, and its box is not clipped."""
    (face,) = open_pack.detector.detect(np.ascontiguousarray(astronaut[80:]))
    assert face.box.y < 0


@pytest.mark.parametrize("shape", [(1, 1), (11, 13), (5, 2000), (3000, 30), (40, 40), (480, 640)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_blank_pictures(open_pack: LoadedPack, shape: tuple[int, int], value: int) -> None:
    """Blank, tiny and elongated pictures have no face and do no harm."""
    assert open_pack.detector.detect(np.full((*shape, 3), value, np.uint8)) == []


def test_noise(open_pack: LoadedPack) -> None:
    """Noise runs through all stages and shows no face."""
    noise = np.random.default_rng(0).integers(0, 256, (400, 300, 3), np.uint8)
    assert open_pack.detector.detect(noise) == []
