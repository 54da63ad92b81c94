"""A model rewritten to 16 bits takes and gives 32, and says nearly the same."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import seeded_models
from facegrid.vision.convert.batchable import batchable
from facegrid.vision.convert.derived import spoiled_files
from facegrid.vision.convert.half import halved
from facegrid.vision.manifest import PackError

# Shares of the largest value that outputs may differ by: 16 bits keep 11 of a number's, three digits.
TOLERANCE = 0.01


def run(source: Path | bytes, batch: np.ndarray) -> list[np.ndarray]:
    """Run a model file on the CPU, which calculates 16 bits too, if slowly."""
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: batch})


def assert_nearly_equal(path: Path, shape: tuple[int, ...]) -> None:
    """Hold the rewritten batchable form against the batchable form."""
    source = batchable(path)
    assert source is not None
    batch = np.random.default_rng(4).uniform(-1, 1, (2, *shape)).astype(np.float32)
    for exact, rough in zip(run(source, batch), run(halved(path, source), batch), strict=True):
        assert rough.dtype == np.float32
        np.testing.assert_allclose(rough, exact, rtol=0, atol=TOLERANCE * np.abs(exact).max())
        assert np.any(rough != exact)


@pytest.mark.parametrize(
    ("make", "shape"), [(seeded_models.embedder, (3, 112, 112)), (seeded_models.scrfd, (3, 64, 96))]
)
def test_seeded_models(tmp_path: Path, make: Callable[[Path], Path], shape: tuple[int, ...]) -> None:
    """Embedders and detectors, made for one item, keep their outputs in batches of 16 bits."""
    assert_nearly_equal(make(tmp_path / "m.onnx"), shape)


def test_open_pack(open_pack_root: Path, tmp_path: Path) -> None:
    """The dlib ResNet's templates stay within a cosine of 0.9999 of those of 32 bits."""
    path = tmp_path / "dlib_resnet.onnx"
    shutil.copy(open_pack_root / "open" / path.name, path)
    crops = np.random.default_rng(5).uniform(-0.5, 0.5, (2, 3, 150, 150)).astype(np.float32)
    (exact,), (rough,) = run(path, crops), run(halved(path, path), crops)
    cosines = (exact * rough).sum(axis=1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rough, axis=1)
    assert cosines.min() >= 0.9999


@pytest.mark.parametrize(
    ("name", "shape"),
    [("mobilefacenet_arcface_128.onnx", (3, 112, 112)), ("scrfd_2.5g_bnkps.onnx", (3, 160, 160))],
)
def test_published_models(assets: Path, tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    """The published files do so too."""
    shutil.copy(assets / "models" / name, tmp_path)
    assert_nearly_equal(tmp_path / name, shape)


def test_cache(tmp_path: Path) -> None:
    """The rewritten model is kept beside the file; one that somebody changed is made again."""
    path = seeded_models.embedder(tmp_path / "m.onnx")
    made = halved(path, path)
    assert isinstance(made, Path)
    assert made.suffix == ".half"
    assert halved(path, path) == made
    weights = onnx.load(made).graph.initializer
    assert any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in weights)
    made.write_bytes(path.read_bytes())
    assert list(spoiled_files(tmp_path)) == [made]
    assert halved(path, path) == made
    assert not list(spoiled_files(tmp_path))


def test_graph_that_cannot_be_rewritten(tmp_path: Path) -> None:
    """A source that is no graph is named, with the setting to change."""
    path = tmp_path / "m.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(PackError, match=r"^m\.onnx cannot be rewritten .* set half_precision to false"):
        halved(path, path)
