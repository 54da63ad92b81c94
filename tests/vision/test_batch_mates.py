"""What a model says of an item does not depend on the items that share its batch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import seeded_models
from facegrid.vision.detectors.scrfd import ScrfdDetector
from facegrid.vision.session import Session
from seeded import write_maps, write_table

# Model file by kind, and the shape of one input; the open pack's files have their real weights.
SHAPES = {
    "pnet.onnx": (32, 24, 3),
    "rnet.onnx": (24, 24, 3),
    "onet.onnx": (48, 48, 3),
    "dlib_resnet.onnx": (3, 150, 150),
    "arcface.onnx": (3, 112, 112),
    "scrfd.onnx": (3, 64, 64),
    "maps.onnx": (3, 64, 64),
    "genderage.onnx": (3, 96, 96),
    "2d106det.onnx": (3, 192, 192),
    "1k3d68.onnx": (3, 192, 192),
}
few = settings(max_examples=5, deadline=None, derandomize=True)
sizes = st.lists(st.tuples(st.integers(8, 90), st.integers(8, 90)), min_size=2, max_size=4)
mates = st.tuples(st.integers(1, 4), st.integers(0, 4), st.integers(0, 2**32 - 1))


@pytest.fixture(scope="module")
def load(open_pack_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Session]:
    """Return a loader of the models by file name."""
    folder = tmp_path_factory.mktemp("models")
    made = {
        "arcface.onnx": seeded_models.embedder(folder / "arcface.onnx"),
        "scrfd.onnx": seeded_models.scrfd(folder / "scrfd.onnx"),
        "maps.onnx": write_maps(folder / "maps.onnx", masks=True),
        "genderage.onnx": write_table(folder / "genderage.onnx", 96, 3),
        "2d106det.onnx": write_table(folder / "2d106det.onnx", 192, 212, batch=1),
        "1k3d68.onnx": write_table(folder / "1k3d68.onnx", 192, 3309),
    }
    return lambda name: Session(made.get(name, open_pack_root / "open" / name), threads=1)


@pytest.mark.parametrize("name", SHAPES)
def test_models(load: Callable[[str], Session], name: str) -> None:
    """Detectors', embedders' and attribute models' outputs for an item are the same wherever it stands."""
    session = load(name)

    @few
    @given(mates)
    def check(drawn: tuple[int, int, int]) -> None:
        count, place, seed = drawn
        place %= count
        batch = np.random.default_rng(seed).uniform(-1, 1, (count, *SHAPES[name])).astype(np.float32)
        alone = session.run(batch[place : place + 1])
        for together, one in zip(session.run(batch), alone, strict=True):
            np.testing.assert_allclose(together[place], one[0], rtol=1e-5, atol=1e-5)

    check()


def test_scrfd_photographs(load: Callable[[str], Session]) -> None:
    """A photograph's faces are the same whatever other photographs, of any size, share its run."""
    detector = ScrfdDetector(load("scrfd.onnx"), input_size=64, score_threshold=0.7, overlap_threshold=0.4)

    @few
    @given(sizes, st.integers(0, 99))
    def check(drawn: list[tuple[int, int]], seed: int) -> None:
        random = np.random.default_rng(seed)
        photographs = [random.integers(0, 256, (*size, 3), np.uint8) for size in drawn]
        together = detector.detect_batch(photographs)
        assert any(together)
        for pixels, faces in zip(photographs, together, strict=True):
            for face, alone in zip(faces, detector.detect(pixels), strict=True):
                assert face.detection_score == pytest.approx(alone.detection_score, abs=1e-5)
                np.testing.assert_allclose(face.landmarks, alone.landmarks, rtol=1e-5, atol=1e-4)

    check()
