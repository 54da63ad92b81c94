"""Each kind of detector decodes seeded models as its makers' own code, or a plain second one, does."""

import math
import warnings
from dataclasses import astuple
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from facegrid.domain.faces import DetectedFace
from facegrid.vision.decode import PhotographLimits, decode
from facegrid.vision.detectors.contract import Look
from facegrid.vision.detectors.onepass import OnePassDetector
from facegrid.vision.detectors.retinaface import RetinaFaceDetector
from facegrid.vision.detectors.scrfd import ScrfdDetector
from facegrid.vision.detectors.yunet import YunetDetector
from facegrid.vision.manifest import PackError
from facegrid.vision.session import Session
from seeded import write_maps, write_priors, write_scrfd, write_yunet

Found = tuple[float, list[float], list[tuple[float, float]]]

SIZE = 256


def detector(
    kind: type[OnePassDetector],
    path: Path,
    *,
    size: tuple[int, int] = (SIZE, SIZE),
    score: float = 0.5,
    overlap: float = 0.4,
) -> OnePassDetector:
    """Return a detector on a file."""
    session = Session(path, threads=1)
    return kind(session, input_size=size, score_threshold=score, overlap_threshold=overlap)


def noise(height: int, width: int) -> NDArray[np.uint8]:
    """Return random pixels, RGB."""
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)


def assert_same(
    faces: list[DetectedFace], boxes: Any, points: Any, scores: Any, *, factor: float = 1.0, atol: float
) -> None:
    """Expect the same faces in the same order, corners of boxes and all; ours are multiplied by a factor."""
    assert len(faces) == len(boxes) > 0
    ours = np.array([astuple(face.box) for face in faces]) * factor
    ours[:, 2:] += ours[:, :2]
    np.testing.assert_allclose(ours, boxes, rtol=1e-5, atol=atol)
    landmarks = np.array([face.landmarks for face in faces]) * factor
    np.testing.assert_allclose(landmarks, points, rtol=1e-5, atol=atol)
    np.testing.assert_allclose([face.detection_score for face in faces], scores, atol=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "strides", "rank"),
    [
        ("retinaface.RetinaFace", (8, 16, 32), 2),
        ("retinaface.RetinaFace", (8, 16, 32, 64, 128), 2),
        ("scrfd.SCRFD", (8, 16, 32), 2),
        ("scrfd.SCRFD", (8, 16, 32), 3),
        ("scrfd.SCRFD", (8, 16, 32, 64, 128), 2),
    ],
)
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((256, 256), (SIZE, SIZE)),
        ((200, 333), (SIZE, SIZE)),
        ((512, 300), (SIZE, SIZE)),
        ((200, 333), (SIZE, 128)),
    ],
)
def test_distance_heads(
    tmp_path: Path,
    name: str,
    strides: tuple[int, ...],
    rank: int,
    *,
    shape: tuple[int, int],
    size: tuple[int, int],
) -> None:
    """Files of 9 and of 15 outputs give what both of insightface's own classes give, on any canvas."""
    module, kind = name.split(".")
    path = write_scrfd(tmp_path / "m.onnx", strides=strides, rank=rank)
    pixels = noise(*shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zoo = pytest.importorskip(f"insightface.model_zoo.{module}", exc_type=ImportError)
        reference = getattr(zoo, kind)(str(path))
        reference.prepare(-1, input_size=size, det_thresh=0.5)
        boxes, points = reference.detect(np.ascontiguousarray(pixels[..., ::-1]))
    faces = detector(ScrfdDetector, path, size=size).detect(pixels)
    assert_same(faces, boxes[:, :4], points, boxes[:, 4], atol=1e-4)


def opencv_finds(path: Path, canvas: NDArray[np.uint8], score: float, overlap: float) -> Any:
    """Return what OpenCV's own YuNet finds in RGB pixels: x, y, width, height, ten numbers, score."""
    size = (canvas.shape[1], canvas.shape[0])
    reference = cv2.FaceDetectorYN.create(str(path), "", size, score, overlap, 5000)
    found = reference.detect(np.ascontiguousarray(canvas[..., ::-1]))[1]
    return np.empty((0, 15)) if found is None else found


def assert_as_opencv(faces: list[DetectedFace], found: Any, scale: float, atol: float) -> None:
    """Expect OpenCV's finds in a canvas that shows the photograph at a scale."""
    corners = np.hstack([found[:, :2], found[:, :2] + found[:, 2:4]])
    assert_same(faces, corners, found[:, 4:14].reshape(-1, 5, 2), found[:, 14], factor=scale, atol=atol)


def test_yunet(tmp_path: Path) -> None:
    """A seeded YuNet gives what OpenCV gives; the photograph fills the square and needs no scaling."""
    path, pixels = write_yunet(tmp_path / "m.onnx"), noise(SIZE, SIZE)
    found = opencv_finds(path, pixels, 0.6, 0.3)
    assert_as_opencv(
        detector(YunetDetector, path, score=0.6, overlap=0.3).detect(pixels), found, 1, atol=1e-3
    )


@pytest.mark.parity
def test_yunet_on_photographs(assets: Path) -> None:
    """On every photograph the real file finds what OpenCV finds in the same square, within half a pixel."""
    path, side, count = assets / "models" / "yunet_n_dynamic.onnx", 640, 0
    ours = detector(YunetDetector, path, size=(side, side), score=0.7, overlap=0.3)
    for photograph in sorted((assets / "faces").glob("*.jp*g")):
        pixels = decode(photograph.read_bytes(), PhotographLimits())
        height, width = pixels.shape[:2]
        new_height, new_width = (int(x * side / max(height, width) + 1e-6) for x in (height, width))
        canvas = np.zeros((side, side, 3), np.uint8)
        canvas[:new_height, :new_width] = cv2.resize(pixels, (new_width, new_height))
        found = opencv_finds(path, canvas, 0.7, 0.3)
        faces = ours.detect(pixels)
        assert len(faces) == len(found), photograph.name
        if faces:
            assert_as_opencv(faces, found, new_height / height, atol=0.5)
        count += len(faces)
    assert count >= 38


@pytest.mark.parametrize("shuffled", [False, True])
def test_prior_boxes(tmp_path: Path, shuffled: bool) -> None:
    """RetinaFace's tables are decoded as a plain loop over its priors does, in whatever order they come."""
    path, pixels = write_priors(tmp_path / "m.onnx"), noise(SIZE, SIZE)
    blob = (pixels[..., ::-1].astype(np.float32) - (104, 117, 123)).transpose(2, 0, 1)[None]
    loc, conf, landms = (x[0] for x in run(path, blob))
    expected: list[Found] = []
    row = 0
    for step, sizes in ((8, (16, 32)), (16, (64, 128)), (32, (256, 512))):
        for y in range(SIZE // step):
            for x in range(SIZE // step):
                for size in sizes:
                    cx, cy = (x + 0.5) * step, (y + 0.5) * step
                    mx, my = cx + 0.1 * loc[row, 0] * size, cy + 0.1 * loc[row, 1] * size
                    w, h = (size * math.exp(0.2 * value) for value in loc[row, 2:])
                    points = [
                        (cx + 0.1 * px * size, cy + 0.1 * py * size) for px, py in landms[row].reshape(5, 2)
                    ]
                    box = [mx - w / 2, my - h / 2, mx + w / 2, my + h / 2]
                    expected.append((conf[row, 1], box, points))
                    row += 1
    assert row == len(conf)
    session = Session(path, threads=1)
    if shuffled:
        session = Reversed(session)
    ours = RetinaFaceDetector(session, input_size=(SIZE, SIZE), score_threshold=0.6, overlap_threshold=1)
    assert_same(ours.detect(pixels), *best(expected, 0.6), atol=1e-3)


class Reversed:
    """A session whose outputs come in the other order."""

    def __init__(self, session: Session) -> None:
        """Turn a session round."""
        self.input_shape = session.input_shape
        self.output_shapes = session.output_shapes[::-1]
        self.session, self.most_items = session, session.most_items

    def run(self, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return the outputs, last first."""
        return self.session.run(batch)[::-1]


@pytest.mark.parametrize("covered", [False, True])
def test_strided_heads(tmp_path: Path, covered: bool) -> None:
    """RetinaFace's maps are decoded as a plain loop over InsightFace's anchors does.

    Those of the anti-Covid form state a mask for each face, and landmarks in fifths.
    """
    path, pixels = write_maps(tmp_path / "m.onnx", masks=covered), noise(SIZE, SIZE)
    outputs = run(path, pixels.astype(np.float32).transpose(2, 0, 1)[None])
    expected: list[Found] = []
    masks, maps, unit = [], 4 if covered else 3, 0.2 if covered else 1
    for level, (stride, scales) in enumerate(((32, (32, 16)), (16, (8, 4)), (8, (2, 1)))):
        odds, deltas, landmarks, *kinds = (x[0] for x in outputs[maps * level : maps * level + maps])
        for y in range(SIZE // stride):
            for x in range(SIZE // stride):
                for a, scale in enumerate(scales):
                    # The base anchor is pixels 0 to 15; a scale widens it around its middle.
                    side = 16 * scale
                    left, top = 7.5 - (side - 1) / 2 + x * stride, 7.5 - (side - 1) / 2 + y * stride
                    cx, cy = left + (side - 1) / 2, top + (side - 1) / 2
                    dx, dy, dw, dh = deltas[4 * a : 4 * a + 4, y, x]
                    mx, my, w, h = (
                        cx + dx * side,
                        cy + dy * side,
                        side * math.exp(dw),
                        side * math.exp(dh),
                    )
                    box = [mx - (w - 1) / 2, my - (h - 1) / 2, mx + (w - 1) / 2, my + (h - 1) / 2]
                    marks = landmarks[10 * a : 10 * a + 10, y, x].reshape(5, 2)
                    points = [(cx + px * unit * side, cy + py * unit * side) for px, py in marks]
                    expected.append((odds[2 + a, y, x], box, points))
                    masks.append((odds[2 + a, y, x], kinds[0][4 + a, y, x] if covered else None))
    faces = detector(RetinaFaceDetector, path, score=0.6, overlap=1).detect(pixels)
    assert_same(faces, *best(expected, 0.6), atol=1e-3)
    stated = [mask for _, mask in sorted(masks, key=lambda found: -found[0])][: len(faces)]
    assert [face.mask for face in faces] == (pytest.approx(stated, abs=1e-5) if covered else stated)


def run(path: Path, blob: NDArray[Any]) -> list[NDArray[np.float32]]:
    """Return a model's outputs."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": np.ascontiguousarray(blob, np.float32)})


def best(finds: list[Found], threshold: float) -> tuple[list[Any], list[Any], list[float]]:
    """Return boxes, points and scores of the finds that pass, best first."""
    passed = sorted((find for find in finds if find[0] >= threshold), key=lambda find: -find[0])
    return [box for _, box, _ in passed], [points for *_, points in passed], [score for score, *_ in passed]


@pytest.mark.parametrize(
    ("kind", "write"),
    [(ScrfdDetector, write_yunet), (YunetDetector, write_scrfd), (RetinaFaceDetector, write_scrfd)],
)
def test_another_kind_of_model(tmp_path: Path, kind: type[OnePassDetector], write: Any) -> None:
    """A file of another kind is refused with what its outputs are."""
    with pytest.raises(PackError, match=rf"no {kind.kind} with five landmarks, its outputs are .*10;"):
        detector(kind, write(tmp_path / "m.onnx"))


def test_boxes_that_are_not_those_of_the_size(tmp_path: Path) -> None:
    """A model that lays other boxes over its input than its kind does says so."""
    session = Wider(Session(write_scrfd(tmp_path / "m.onnx"), threads=1))
    wider = ScrfdDetector(session, input_size=(SIZE, SIZE), score_threshold=0.5, overlap_threshold=0.4)
    with pytest.raises(PackError, match=r"boxes for 256×256 pixels.*set detector\.input_size"):
        wider.detect(noise(64, 64))


def test_canvases_of_any_size(tmp_path: Path) -> None:
    """A canvas is widened to a multiple of the coarsest stride of the file, also where that is 128 px."""
    five = detector(ScrfdDetector, write_scrfd(tmp_path / "m.onnx", strides=(8, 16, 32, 64, 128)), score=0.1)
    small, whole = Look(noise(96, 160), np.ones(2, np.float32)), np.zeros((128, 256, 3), np.uint8)
    whole[:96, :160] = small.canvas
    (found,), (expected,) = five.look([small]), five.look([Look(whole, small.scale)])
    assert [face.box for face in found] == [face.box for face in expected] != []


class Wider:
    """A session that sees more of its picture than the square that it is given."""

    def __init__(self, session: Session) -> None:
        """Widen a session's input."""
        self.input_shape, self.output_shapes = session.input_shape, session.output_shapes
        self.session, self.most_items = session, session.most_items

    def run(self, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return the outputs for a padded batch."""
        return self.session.run(np.pad(batch, [(0, 0), (0, 0), (0, 96), (0, 96)]))
