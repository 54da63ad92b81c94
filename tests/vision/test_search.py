"""No face of the size that is asked for is lost, and none is found twice."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from facegrid.domain.detection import DetectionMode, DetectionOptions
from facegrid.domain.errors import InvalidPhotograph
from facegrid.domain.faces import Box, DetectedFace, Detection, Pixels
from facegrid.vision.decode import PhotographLimits
from facegrid.vision.detection import Job, detect_all
from facegrid.vision.detectors.contract import FaceDetector, Look
from facegrid.vision.looks import carry_out
from facegrid.vision.packs import LoadedPack
from facegrid.vision.search import Search
from staged import SquareDetector, crowd, overlap, square

FAST = DetectionOptions(DetectionMode.FAST)
some = settings(max_examples=15, deadline=None, derandomize=True)


def search(detector: FaceDetector, pixels: Pixels, options: DetectionOptions) -> list[DetectedFace]:
    """Return what is found where the server's limit is 20 px."""
    return carry_out(Search(detector, limit_px=20).plan(pixels, options), detector)


def assert_found(faces: list[DetectedFace], boxes: list[Box], least: float = 0.6) -> None:
    """Expect each box once and nothing else."""
    assert len(faces) == len(boxes)
    for box in boxes:
        assert max(overlap(box, face.box) for face in faces) > least


@some
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([(900, 700), (1500, 2600), (3000, 1100)]),
    st.sampled_from([20, 30, 47, 60]),
    st.sampled_from([DetectionMode.REFERENCE, DetectionMode.FAST]),
)
def test_crowds(seed: int, shape: tuple[int, int], smallest: int, mode: DetectionMode) -> None:
    """From the smallest face that is asked for to one of half the photograph, each is found once."""
    sides = [shape[1] // 2, *np.random.default_rng(seed).integers(smallest + 1, 4 * smallest, 12).tolist()]
    pixels, boxes = crowd(seed, shape, sides)
    assert_found(search(SquareDetector(), pixels, DetectionOptions(mode, smallest)), boxes)


@some
@given(st.integers(0, 2**32 - 1))
def test_fixed_canvas(seed: int) -> None:
    """A detector of one canvas searches tiles of that size alone, whatever the mode is."""
    detector = SquareDetector(eager_px=None)
    pixels, boxes = crowd(seed, (1300, 2000), [31, 35, 60, 300])
    assert_found(search(detector, pixels, DetectionOptions(DetectionMode.FAST, 30)), boxes)
    assert max(max(shape) for shape in detector.canvases) <= 640


def test_one_look_suffices() -> None:
    """Where no size is asked for, the reference looks once, and does not find what is too small for that."""
    detector = SquareDetector()
    pixels, (large, _) = crowd(0, (2000, 1500), [200, 30])
    assert_found(search(detector, pixels, DetectionOptions()), [large])
    assert detector.canvases == [(640, 640)]


def test_fast_looks_at_less() -> None:
    """The fast mode runs the model on fewer pixels than the reference and finds the same."""
    detector = SquareDetector()
    pixels, boxes = crowd(0, (1000, 800), [150, 80])
    assert_found(search(detector, pixels, DetectionOptions(DetectionMode.FAST, 40)), boxes)
    assert sum(height * width for height, width in detector.canvases) < 0.5 * 640 * 640


@pytest.mark.parametrize("mode", DetectionMode)
def test_face_that_fills_the_photograph(mode: DetectionMode) -> None:
    """A face too large for the canvas is found on a second look with a margin, in the photograph's pixels."""
    pixels = np.full((300, 280, 3), 255, np.uint8)
    assert_found(search(SquareDetector(), pixels, DetectionOptions(mode)), [Box(0, 0, 280, 300)], 0.9)


class UnsureDetector(SquareDetector):
    """Sees nothing but, where it looks eagerly, boxes beside the picture and without an area."""

    def look(self, looks: Sequence[Look]) -> list[list[DetectedFace]]:
        """Return the same for each canvas."""
        boxes = [(5, 5, 0, 9), (9, 5, -4, -4), (300, 0, 9, 9), (-50, -50, 9, 9), (5, 99.5, 9, 9)]
        return [[square(*box) for box in boxes] if look.eager else [] for look in looks]


def test_uncertain_finds_that_the_picture_does_not_show() -> None:
    """A fast search drops them, as there is nothing to look at more closely."""
    assert search(UnsureDetector(), np.zeros((100, 100, 3), np.uint8), FAST) == []


@pytest.mark.parametrize("options", [DetectionOptions(), FAST], ids=["reference", "fast"])
def test_photographs_together(options: DetectionOptions) -> None:
    """Photographs of one batch have each their own faces, and a bad one its own error."""
    crowds = [crowd(seed, (600, 400 + 100 * seed), [50, 100]) for seed in range(3)]
    jobs = [Job(png(pixels), ["arcface-112"], options) for pixels, _ in crowds]
    jobs.insert(1, Job(b"not a photograph", [], options))
    found = detect_all(Search(SquareDetector(), limit_px=20), jobs, PhotographLimits())
    assert isinstance(found.pop(1), InvalidPhotograph)
    for detection, (_, boxes) in zip(found, crowds, strict=True):
        assert isinstance(detection, Detection)
        assert_found(list(detection.faces), boxes)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a photograph of the pixels."""
    return saved(pixels, "PNG")


def saved(pixels: NDArray[np.uint8], kind: str) -> bytes:
    """Return a photograph of the pixels in one of Pillow's formats."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("side", [2600, 400], ids=["crop-of-reduced-pixels", "crop-of-all-pixels"])
def test_reduced_decoding(side: int) -> None:
    """A large JPEG, decoded at a part of its size, gives what all its pixels give."""
    pixels, _ = crowd(3, (3001, 4003), [side])
    pixels[::] = np.where(pixels > 0, 200, 60)
    jobs = [Job(saved(pixels, kind), ["arcface-112"], FAST) for kind in ("JPEG", "PNG")]
    reduced, full = detect_all(Search(SquareDetector(), limit_px=20), jobs, PhotographLimits())
    assert isinstance(reduced, Detection)
    assert isinstance(full, Detection)
    assert (reduced.width, reduced.height) == (full.width, full.height) == (4003, 3001)
    (one,), (other,) = reduced.faces, full.faces
    assert overlap(one.box, other.box) > 0.97
    for ours, theirs in zip(one.quality, other.quality, strict=True):
        if ours.measure in {"inter_eye_distance", "face_area_ratio", "luminance", "face_in_frame"}:
            assert ours.value == pytest.approx(theirs.value, rel=0.03)
    assert np.abs(one.crops["arcface-112"].astype(int) - other.crops["arcface-112"]).mean() < 3


def roll(face: DetectedFace) -> float:
    """Return the angle of the line between the eyes in degrees, clockwise."""
    across, down = face.landmarks[1] - face.landmarks[0]
    return float(np.degrees(np.arctan2(down, across)))


@pytest.mark.parametrize(("turn", "angle"), [(0, 0), (1, -90), (2, 180), (3, 90)])
def test_rotation(open_pack: LoadedPack, astronaut: Pixels, turn: int, angle: int) -> None:
    """A face that lies or stands on its head is found in its own pixels, landmarks in the person's order."""
    (upright,) = open_pack.detector.detect(astronaut)
    turned = np.ascontiguousarray(np.rot90(astronaut, turn))
    (face,) = search(open_pack.detector, turned, DetectionOptions(any_rotation=True))
    assert abs((roll(face) - angle - roll(upright) + 180) % 360 - 180) < 3
    centre = upright.box.x + upright.box.width / 2, upright.box.y + upright.box.height / 2
    x, y = [
        centre,
        (centre[1], 511 - centre[0]),
        (511 - centre[0], 511 - centre[1]),
        (511 - centre[1], centre[0]),
    ][turn]
    assert abs(face.box.x + face.box.width / 2 - x) < 5
    assert abs(face.box.y + face.box.height / 2 - y) < 5


def test_passport(open_pack: LoadedPack, astronaut: Pixels) -> None:
    """A portrait cropped within the face's box is found on the second look."""
    (face,) = open_pack.detector.detect(astronaut)
    left, top, right, bottom = (
        int(value)
        for value in (
            face.box.x + 0.08 * face.box.width,
            face.box.y + 0.08 * face.box.height,
            face.box.x + 0.92 * face.box.width,
            face.box.y + 0.92 * face.box.height,
        )
    )
    cropped = np.ascontiguousarray(astronaut[top:bottom, left:right])
    (found,) = search(open_pack.detector, cropped, DetectionOptions())
    eyes = np.linalg.norm(face.landmarks[1] - face.landmarks[0])
    assert np.abs(found.landmarks + np.array([left, top]) - face.landmarks).max() < 0.2 * eyes


def test_crowd_of_photographs(open_pack: LoadedPack, astronaut: Pixels) -> None:
    """Faces of 40 px that one look at a large photograph loses are found in tiles, each once."""
    small = np.asarray(Image.fromarray(astronaut).crop((150, 30, 300, 210)).resize((70, 84)), np.uint8)
    pixels = np.full((2400, 3200, 3), 90, np.uint8)
    for y in range(100, 2200, 450):
        for x in range(77, 3000, 530):
            pixels[y : y + 84, x : x + 70] = small
    assert len(search(open_pack.detector, pixels, DetectionOptions())) < 30
    faces = search(open_pack.detector, pixels, DetectionOptions(smallest_face_px=40))
    assert len(faces) == 30
    assert len({(round(face.box.x / 530), round(face.box.y / 450)) for face in faces}) == 30
