"""A pack of InsightFace's files gives what insightface 2.1 gives."""

import shutil
import warnings
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facegrid.domain.alignment import ALIGNMENTS
from facegrid.domain.faces import DetectedFace
from facegrid.vision.align import align
from facegrid.vision.decode import PhotographLimits, decode
from facegrid.vision.packs import LoadedPack, PackFolder

pytestmark = pytest.mark.parity

MANIFEST = Path(__file__).parents[2] / "loadtests" / "insightface.toml"
DETECTOR, EMBEDDER = "scrfd_2.5g_bnkps.onnx", "mobilefacenet_arcface_128.onnx"


@pytest.fixture(scope="module")
def pack(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> LoadedPack:
    """Return a pack made by hand: a folder, two model files and a manifest."""
    root = tmp_path_factory.mktemp("packs")
    folder = root / "insightface"
    folder.mkdir()
    for name in (DETECTOR, EMBEDDER):
        shutil.copy(assets / "models" / name, folder)
    shutil.copy(MANIFEST, folder / "manifest.toml")
    return PackFolder(root).load("insightface")


@pytest.fixture(scope="module")
def photographs(assets: Path) -> dict[str, NDArray[np.uint8]]:
    """Return the upright pixels of every photograph of the assets."""
    files = [
        path for path in sorted((assets / "faces").iterdir()) if path.suffix in {".jpg", ".jpeg", ".png"}
    ]
    return {path.name: decode(path.read_bytes(), PhotographLimits()) for path in files}


@pytest.fixture(scope="module")
def reference(assets: Path) -> tuple[Any, Any]:
    """Return insightface's own detector and embedder on the same files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scrfd = pytest.importorskip("insightface.model_zoo.scrfd", exc_type=ImportError)
        arcface = pytest.importorskip("insightface.model_zoo.arcface_onnx", exc_type=ImportError)
        detector = scrfd.SCRFD(str(assets / "models" / DETECTOR))
        detector.prepare(-1, input_size=(640, 640), det_thresh=0.5)
        return detector, arcface.ArcFaceONNX(str(assets / "models" / EMBEDDER))


def test_faces_and_templates(
    pack: LoadedPack, photographs: dict[str, NDArray[np.uint8]], reference: tuple[Any, Any]
) -> None:
    """Every box and landmark lies within half a pixel, and every template within a cosine of 0.9999."""
    detector, embedder = reference
    alignment, faces = ALIGNMENTS["arcface-112"], 0
    for pixels in photographs.values():
        bgr = np.ascontiguousarray(pixels[..., ::-1])
        boxes, points = detector.detect(bgr)
        found = pack.detector.detect(pixels)
        assert len(found) == len(boxes)
        for face, box, landmarks in zip(found, boxes, points, strict=True):
            x, y, width, height = astuple(face.box)
            np.testing.assert_allclose((x, y, x + width, y + height), box[:4], atol=0.5)
            np.testing.assert_allclose(face.landmarks, landmarks, atol=0.5)
            assert face.detection_score == pytest.approx(box[4], abs=1e-4)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = embedder.get(bgr, _Landmarks(landmarks))
            (template,) = pack.embedder.embed(align(pixels, face.landmarks, alignment)[None])
            assert template.vector @ expected / np.linalg.norm(expected) >= 0.9999
        faces += len(found)
    assert faces >= 39


class _Landmarks:
    """What insightface's embedder reads of a face, and where it writes."""

    def __init__(self, kps: NDArray[np.float32]) -> None:
        self.kps = kps


def test_open_pack_finds_the_same_faces(
    pack: LoadedPack, open_pack: LoadedPack, photographs: dict[str, NDArray[np.uint8]]
) -> None:
    """MTCNN finds each upright face that SCRFD finds and no other, with landmarks near SCRFD's."""
    apart = []
    for name, pixels in photographs.items():
        if name in {"rot_90.jpg", "rot_180.jpg", "rot_270.jpg"}:
            continue
        expected, found = pack.detector.detect(pixels), open_pack.detector.detect(pixels)
        assert len(found) == len(expected), name
        apart += [min(_apart(face, other) for other in found) for face in expected]
    assert len(apart) == 38
    assert np.median(apart) < 0.05
    assert max(apart) < 0.3


def _apart(face: DetectedFace, other: DetectedFace) -> float:
    eyes = float(np.linalg.norm(face.landmarks[1] - face.landmarks[0]))
    return float(np.linalg.norm(face.landmarks - other.landmarks, axis=1).mean()) / eyes
