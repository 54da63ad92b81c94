"""Crops are cut by the similarity that least squares would choose."""

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.transform import SimilarityTransform

from facegrid.domain.alignment import ALIGNMENTS, alignment_named, similarity_transform
from facegrid.domain.errors import InvalidField
from facegrid.domain.faces import Box, DetectedFace
from facegrid.vision.align import align, cut


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", ALIGNMENTS)
def test_similarity_equals_scikit_image(seed: int, name: str) -> None:
    """The closed form agrees with scikit-image's estimate on landmarks of any pose."""
    rng = np.random.default_rng(seed)
    target = ALIGNMENTS[name].points
    angle, scale = rng.uniform(-np.pi, np.pi), rng.uniform(0.2, 8)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks = (target @ turn.T + rng.normal(0, 3, (5, 2)) + 400).astype(np.float32)
    expected = SimilarityTransform.from_estimate(landmarks, target).params[:2]
    np.testing.assert_allclose(similarity_transform(landmarks, target), expected, atol=1e-4)


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_landmarks_at_the_template_need_no_warp(astronaut: NDArray[np.uint8], name: str) -> None:
    """A face that lies where the template wants it is copied."""
    alignment = ALIGNMENTS[name]
    crop = align(astronaut, alignment.points, alignment)
    np.testing.assert_array_equal(crop, astronaut[: alignment.side, : alignment.side])


def test_outside_the_photograph_is_black(astronaut: NDArray[np.uint8]) -> None:
    """A face beyond the frame gives a crop all the same."""
    alignment = ALIGNMENTS["arcface-112"]
    assert not align(astronaut, alignment.points - 10_000, alignment).any()


def test_points_that_coincide_do_not_crash(astronaut: NDArray[np.uint8]) -> None:
    """Degenerate landmarks still give a crop of the right size."""
    alignment = ALIGNMENTS["arcface-112"]
    assert align(astronaut, np.full((5, 2), 7, np.float32), alignment).shape == (112, 112, 3)


def test_very_wide_photograph() -> None:
    """A photograph wider than 16-bit coordinates is warped too."""
    wide = np.zeros((200, 40_000, 3), np.uint8)
    wide[:, 39_000:] = 200
    alignment = ALIGNMENTS["arcface-112"]
    crop = align(wide, alignment.points + np.float32([39_500, 20]), alignment)
    assert (crop == 200).all()


@pytest.mark.parametrize(
    ("side", "eye"),
    [
        (112, (38.2946, 51.6963)),
        (224, (76.5892, 103.3926)),
        (128, (46.2946, 51.6963)),
        (256, (92.5892, 103.3926)),
        (896, (306.3568, 413.5704)),
        (160, (54.7066, 73.8519)),
    ],
)
def test_arcface_of_other_sides(side: int, eye: tuple[float, float]) -> None:
    """ArcFace's points scale with the side; a multiple of 128 has a margin, as insightface cuts it."""
    alignment = alignment_named(f"arcface-{side}")
    assert (alignment.name, alignment.side, alignment.points.dtype) == (f"arcface-{side}", side, np.float32)
    np.testing.assert_allclose(alignment.points[0], eye, atol=1e-3)


@pytest.mark.parametrize("name", ["", "arcface", "arcface-0", "arcface-1e3", "dlib-112"])
def test_unknown_alignment(name: str) -> None:
    """A name that means no alignment is refused with those that do."""
    with pytest.raises(InvalidField, match="use 'arcface-112', 'dlib-150'"):
        alignment_named(name)


def test_crop_around_a_box(astronaut: NDArray[np.uint8]) -> None:
    """It shows one and a half of the box's longer side, at its scale, and black beyond the photograph."""
    face = DetectedFace(Box(-16, 100, 64, 32), np.zeros((5, 2), np.float32), 0.9)
    crop = cut(astronaut, face, "box-96")
    np.testing.assert_array_equal(crop[:, 32:], astronaut[68:164, :64])
    assert not crop[:, :32].any()


def test_crop_of_other_names(astronaut: NDArray[np.uint8]) -> None:
    """Other names cut around the landmarks, and what is no name is refused."""
    alignment = ALIGNMENTS["arcface-112"]
    face = DetectedFace(Box(0, 0, 9, 9), alignment.points, 0.9)
    np.testing.assert_array_equal(cut(astronaut, face, "arcface-112"), astronaut[:112, :112])
    with pytest.raises(InvalidField, match="alignment is 'box-0'"):
        cut(astronaut, face, "box-0")


@pytest.mark.parametrize("size", [(0, 0), (-3, -5)])
def test_box_without_extent(astronaut: NDArray[np.uint8], size: tuple[float, float]) -> None:
    """It is cut as one of a pixel."""
    face = DetectedFace(Box(100, 100, *size), np.zeros((5, 2), np.float32), 0.9)
    assert cut(astronaut, face, "box-96").shape == (96, 96, 3)
