"""A model for one item runs on batches after the rewrite, or stays as it is; it is never wrong."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import seeded_models as seeded
from facegrid.vision.convert.batchable import batchable
from facegrid.vision.convert.derived import spoiled_files
from facegrid.vision.session import Session

SHAPES = {
    "mobilefacenet_arcface_128.onnx": (3, 112, 112),
    "scrfd_2.5g_bnkps.onnx": (3, 160, 160),
}


def assert_batch_equals_items(path: Path, shape: tuple[int, ...]) -> None:
    """Hold a batch of four through a Session against the file itself, one by one."""
    items = np.random.default_rng(3).uniform(-1, 1, (4, 1, *shape)).astype(np.float32)
    original = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = original.get_inputs()[0].name
    expected = [original.run(None, {name: item}) for item in items]
    session = Session(path, threads=1)
    assert session.runs_batches
    for found, ones in zip(session.run(items[:, 0]), zip(*expected, strict=True), strict=True):
        assert len(found) == 4
        np.testing.assert_allclose(found, np.stack(ones).reshape(found.shape), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "shape"),
    [(seeded.embedder, (3, 112, 112)), (seeded.scrfd, (3, 64, 96))],
    ids=["embedder", "scrfd"],
)
def test_seeded_models(tmp_path: Path, make: Callable[[Path], Path], shape: tuple[int, ...]) -> None:
    """A fixed batch of one and flattened heads both give for a batch what the file gives one by one."""
    assert_batch_equals_items(make(tmp_path / "m.onnx"), shape)


@pytest.mark.parametrize("name", SHAPES)
def test_published_models(assets: Path, tmp_path: Path, name: str) -> None:
    """The published files do so too."""
    shutil.copy(assets / "models" / name, tmp_path)
    assert_batch_equals_items(tmp_path / name, SHAPES[name])


def test_cache(tmp_path: Path) -> None:
    """The rewritten model is kept beside the file under its sha256; the file stays as it is."""
    path = seeded.scrfd(tmp_path / "m.onnx")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    made = batchable(path)
    assert isinstance(made, Path)
    made_digest = hashlib.sha256(made.read_bytes()).hexdigest()
    assert made == tmp_path / f"m.onnx.{digest}.{made_digest}.batchable"
    written = made.stat().st_mtime_ns
    assert batchable(path) == made
    assert made.stat().st_mtime_ns == written
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    assert set(tmp_path.iterdir()) == {path, made}


@pytest.mark.parametrize(
    "spoil", [lambda _: b"torn", lambda other: other.read_bytes()], ids=["torn", "another"]
)
def test_spoiled_cache(tmp_path: Path, spoil: Callable[[Path], bytes]) -> None:
    """A cache that is torn, or holds another model, is made anew."""
    path = seeded.scrfd(tmp_path / "m.onnx")
    cache = batchable(path)
    assert isinstance(cache, Path)
    good = cache.read_bytes()
    cache.write_bytes(spoil(seeded.embedder(tmp_path / "other.onnx")))
    assert list(spoiled_files(tmp_path)) == [cache]
    assert batchable(path) == cache
    assert cache.read_bytes() == good
    assert not list(spoiled_files(tmp_path))


def test_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the cache cannot be kept the rewritten model is used from memory."""
    path = seeded.scrfd(tmp_path / "m.onnx")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    assert isinstance(batchable(path), bytes)
    assert_batch_equals_items(path, (3, 64, 64))
    assert list(tmp_path.iterdir()) == [path]


def test_heads_that_only_say_that_they_take_a_batch(tmp_path: Path) -> None:
    """A file with a free batch whose flattened rows would mix the items is rewritten as well."""
    path = seeded.scrfd(tmp_path / "m.onnx", batch="N")
    assert batchable(path) != path
    assert_batch_equals_items(path, (3, 64, 64))


@pytest.mark.parametrize("batch", [1, "N"])
def test_model_that_cannot_take_a_batch(tmp_path: Path, batch: int | str) -> None:
    """A model whose items would mix runs them one by one, whatever its file says."""
    path = seeded.batch_mean(tmp_path / "m.onnx", batch)
    session = Session(path, threads=1)
    assert not session.runs_batches
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(session.run(rows)[0], rows * rows)
    assert list(tmp_path.iterdir()) == [path]


def test_free_batch_needs_nothing(open_pack_root: Path) -> None:
    """Files that take a batch are used as they are."""
    for name in ("pnet.onnx", "rnet.onnx", "onet.onnx", "dlib_resnet.onnx"):
        assert batchable(open_pack_root / "open" / name) == open_pack_root / "open" / name
