"""What a face is worth: each measure moves the way it should, and the score predicts recognition."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from facegrid.domain.alignment import ALIGNMENTS
from facegrid.domain.faces import Box, DetectedFace, QualityMeasure
from facegrid.domain.quality import MEASURES
from facegrid.vision.align import align
from facegrid.vision.decode import PhotographLimits, decode
from facegrid.vision.packs import LoadedPack
from facegrid.vision.quality import measure_quality, overall_quality

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def face(open_pack: LoadedPack, astronaut: Picture) -> DetectedFace:
    """Return the astronaut's face."""
    return open_pack.detector.detect(astronaut)[0]


def measure(picture: Picture, face: DetectedFace, name: str) -> QualityMeasure:
    """Return one measure."""
    (found,) = [one for one in measure_quality(picture, face) if one.measure == name]
    return found


def blurred(picture: Picture, sigma: float) -> Picture:
    """Return the picture out of focus."""
    return cv2.GaussianBlur(picture, (0, 0), sigma) if sigma else picture


def flattened(picture: Picture, share: float) -> Picture:
    """Return the picture with a share of its contrast."""
    return (128 + (picture - 128.0) * share).astype(np.uint8)


def darkened(picture: Picture, share: float) -> Picture:
    """Return the picture with a share of its light."""
    return (picture * share).astype(np.uint8)


def scaled(face: DetectedFace, factor: float) -> DetectedFace:
    """Return the face of a picture that is scaled by a factor."""
    box = face.box
    larger = Box(box.x * factor, box.y * factor, box.width * factor, box.height * factor)
    return replace(face, box=larger, landmarks=face.landmarks * np.float32(factor))


def test_every_component_lies_between_0_and_100(astronaut: Picture, face: DetectedFace) -> None:
    """Names are those that rules may use, values finite, and each measure says who computed it."""
    found = measure_quality(astronaut, face)
    assert [one.measure for one in found] + ["template_norm"] == list(MEASURES)
    assert all(0 <= one.component <= 100 and np.isfinite(one.value) for one in found)
    assert {one.algorithm for one in found} == {"facegrid/1"}


components = st.lists(st.floats(0, 100), min_size=1, max_size=14)


@given(components, st.data())
def test_the_score_rises_with_every_component(values: list[float], data: st.DataObject) -> None:
    """No component that gets better lowers it, and above 1 each lifts it; it keeps between the extremes."""
    place = data.draw(st.integers(0, len(values) - 1))
    better = [*values[:place], data.draw(st.floats(values[place], 100)), *values[place + 1 :]]
    before, after = overall_quality(values), overall_quality(better)
    assert after >= before or after == pytest.approx(before)
    assert after > before or better[place] < max(1, values[place]) * 1.001
    assert max(1, min(values)) <= before + 1e-9 <= max(1, *values) + 1e-6


@pytest.mark.parametrize(
    ("name", "change", "steps"),
    [
        ("sharpness", blurred, [0, 1, 2, 3, 5, 8]),
        (
            "contrast",
            lambda picture, share: (128 + (picture - 128.0) * share).astype(np.uint8),
            [1, 0.7, 0.4, 0.1],
        ),
        ("luminance", lambda picture, share: (picture * share).astype(np.uint8), [1, 0.6, 0.3, 0.1]),
    ],
)
def test_a_measure_falls_step_by_step(
    astronaut: Picture, face: DetectedFace, name: str, change: Callable[..., Picture], steps: list[float]
) -> None:
    """The more a photograph is blurred, flattened or darkened, the lower is the value."""
    values = [measure(change(astronaut, step), face, name).value for step in steps]
    assert all(before > after for before, after in pairwise(values))


def test_exposure_moves_with_the_light(astronaut: Picture, face: DetectedFace) -> None:
    """A dark photograph is under-exposed and not over-exposed, a bright one the other way round."""
    dark, bright = (astronaut * 0.1).astype(np.uint8), np.clip(astronaut * 3.0, 0, 255).astype(np.uint8)
    plain = {name: measure(astronaut, face, name).component for name in ("under_exposure", "over_exposure")}
    assert measure(dark, face, "under_exposure").component < plain["under_exposure"] - 20
    assert measure(bright, face, "over_exposure").component < plain["over_exposure"] - 20
    assert measure(dark, face, "over_exposure").component == 100


def test_light_from_one_side_is_not_uniform(astronaut: Picture, face: DetectedFace) -> None:
    """A shadow over half of the face takes the two halves' histograms apart."""
    shadow = astronaut.copy()
    shadow[:, int(face.landmarks[2, 0]) :] //= 3
    plain = measure(astronaut, face, "luminance_uniformity").value
    assert measure(shadow, face, "luminance_uniformity").value < plain / 2


def test_size_is_counted_in_pixels_of_the_photograph(astronaut: Picture, face: DetectedFace) -> None:
    """A photograph of half the size has half the inter-eye distance and the same share of face."""
    half = cv2.resize(astronaut, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    small, eyes = scaled(face, 0.5), measure(astronaut, face, "inter_eye_distance")
    assert measure(half, small, "inter_eye_distance").value == pytest.approx(eyes.value / 2)
    assert measure(half, small, "inter_eye_distance").component < eyes.component < 100
    share = measure(astronaut, face, "face_area_ratio").value
    assert measure(half, small, "face_area_ratio").value == pytest.approx(share)


def test_a_face_that_the_frame_cuts_is_told(astronaut: Picture, face: DetectedFace) -> None:
    """The value is the share of the box that the picture shows."""
    assert measure(astronaut, face, "face_in_frame").value == 1
    middle = int(face.box.x + face.box.width / 2)
    box = replace(face.box, x=face.box.x - middle)
    cut = replace(face, box=box, landmarks=face.landmarks - np.float32((middle, 0)))
    assert measure(astronaut[:, middle:].copy(), cut, "face_in_frame").value == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("angle", [-20, -10, 10, 20])
def test_roll_is_the_angle_by_which_a_photograph_is_turned(
    astronaut: Picture, face: DetectedFace, angle: int
) -> None:
    """Degrees, clockwise."""
    turn = cv2.getRotationMatrix2D((256, 256), -angle, 1)
    landmarks = (face.landmarks @ turn[:, :2].T + turn[:, 2]).astype(np.float32)
    plain = measure(astronaut, face, "roll").value
    assert measure(astronaut, replace(face, landmarks=landmarks), "roll").value - plain == pytest.approx(
        angle, abs=3
    )


def test_yaw_changes_its_sign_in_the_mirror(astronaut: Picture, face: DetectedFace) -> None:
    """Who looks to the right looks to the left there."""
    mirrored = (np.float32((512, 0)) + face.landmarks * np.float32((-1, 1)))[[1, 0, 2, 4, 3]]
    yaw = measure(astronaut, face, "yaw").value
    assert measure(astronaut, replace(face, landmarks=mirrored), "yaw").value == pytest.approx(-yaw, abs=1)


def test_a_head_that_is_turned_away_has_a_large_yaw(open_pack: LoadedPack, assets: Path) -> None:
    """A profile to the left is beyond 40 degrees, a portrait within 20."""
    yaws = []
    for name in ("left_face.jpeg", "obama.jpg"):
        pixels = decode((assets / "faces" / name).read_bytes(), PhotographLimits())
        yaws.append(measure(pixels, open_pack.detector.detect(pixels)[0], "yaw").value)
    assert yaws[0] < -40
    assert abs(yaws[1]) < 20


def test_discarding_the_worst_lowers_the_error(
    open_pack: LoadedPack, astronaut: Picture, six_people: bytes
) -> None:
    """Error versus discard: of degraded photographs, the unrecognised ones have a low score."""
    scored = []
    for picture in (astronaut, decode(six_people, PhotographLimits())):
        for face in open_pack.detector.detect(picture):
            original = _template(open_pack, picture, face)
            for sigma in (0.5, 1, 2, 4, 6, 9):
                for light in (1.0, 0.4, 0.1):
                    worse = (blurred(picture, sigma) * light).astype(np.uint8)
                    quality = measure(worse, face, "facegrid_quality").value
                    scored.append((quality, float(original @ _template(open_pack, worse, face))))
    scored.sort()
    misses = np.array([score < open_pack.pack.thresholds.verify.value for _, score in scored])
    rates = [misses[int(share * len(misses)) :].mean() for share in (0, 0.3, 0.6)]
    assert rates[0] > 0.2
    assert all(before > after for before, after in pairwise(rates))
    assert rates[-1] < rates[0] / 2


def _template(pack: LoadedPack, picture: Picture, face: DetectedFace) -> NDArray[np.float32]:
    crop = align(picture, face.landmarks, ALIGNMENTS[pack.pack.alignment])
    return pack.embedder.embed(crop[None])[0].vector
