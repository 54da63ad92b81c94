"""Batches are filled up to few sizes, and what is filled in never shows."""

from pathlib import Path

import numpy as np
import pytest

import seeded_models
from facegrid.vision.buckets import bucket, buckets, filled, unfilled
from facegrid.vision.session import BoundRuns, Session


@pytest.mark.parametrize(
    ("count", "size"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (33, 64), (64, 64), (65, 128)]
)
def test_bucket(count: int, size: int) -> None:
    """A batch is filled up to the next power of two."""
    assert bucket(count) == size


@pytest.mark.parametrize(("largest", "sizes"), [(1, [1]), (8, [1, 2, 4, 8]), (9, [1, 2, 4, 8, 16])])
def test_buckets(largest: int, sizes: list[int]) -> None:
    """All sizes that a batch of up to so many items is filled up to are known beforehand."""
    assert list(buckets(largest)) == sizes
    assert {bucket(count) for count in range(1, largest + 1)} == set(sizes)


@pytest.mark.parametrize("rows", [1, 3])
def test_filling_leaves_the_items_alone(rows: int) -> None:
    """The items come first, zeros follow; outputs of one or several rows an item lose what was filled in."""
    batch = np.arange(1, 16, dtype=np.float32).reshape(5, 3)
    whole = filled(batch)
    assert whole.shape == (8, 3)
    np.testing.assert_array_equal(whole[:5], batch)
    assert not whole[5:].any()
    (output,) = unfilled([np.repeat(whole, rows, axis=0)], 5)
    np.testing.assert_array_equal(output, np.repeat(batch, rows, axis=0))


def filling(path: Path, *, bound: bool) -> tuple[Session, list[tuple[int, ...]]]:
    """Return a session that fills its batches as on CUDA, and the list that its runs' shapes go to."""
    session, seen = Session(path, threads=1), []
    session._fills = True
    runs = BoundRuns(session._alone, "cpu")
    run = runs.run if bound else lambda batch: session._alone.run(None, {session._input: batch})

    class Watched:
        """Notes the shape of each run."""

        def run(self, batch: np.ndarray) -> list[np.ndarray]:
            """Run."""
            seen.append(batch.shape)
            return run(batch)

    session._bound = Watched()
    return session, seen


@pytest.mark.parametrize("bound", [False, True], ids=["plain", "bound"])
@pytest.mark.parametrize("count", [1, 3, 4, 70])
def test_items_do_not_depend_on_what_is_filled_in(tmp_path: Path, count: int, bound: bool) -> None:
    """An item's outputs in a filled batch, on buffers that stay, are those that it has alone."""
    session, seen = filling(seeded_models.embedder(tmp_path / "m.onnx", side=16), bound=bound)
    items = np.random.default_rng(count).uniform(-1, 1, (count, 3, 16, 16)).astype(np.float32)
    for _ in range(2):  # the second time the buffers are there
        (together,) = session.run(items)
        assert len(together) == count
        alone = [session.run(item[None])[0][0] for item in items]
        np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)
    assert {shape[0] for shape in seen} <= {1, 2, 4, 8, 16, 32, 64}


def test_heads_of_a_filled_batch(tmp_path: Path) -> None:
    """A detector's tables, which have many rows an item, lose what was filled in as well."""
    session, _ = filling(seeded_models.scrfd(tmp_path / "m.onnx"), bound=True)
    items = np.random.default_rng(0).uniform(-1, 1, (3, 3, 64, 96)).astype(np.float32)
    alone = [session.run(item[None]) for item in items]
    for together, ones in zip(session.run(items), zip(*alone, strict=True), strict=True):
        np.testing.assert_allclose(together, np.stack(ones).reshape(together.shape), rtol=1e-5, atol=1e-5)


def test_buffers_follow_the_shape(tmp_path: Path) -> None:
    """A picture of another size gets a buffer of its own size: no number of the last one is left in it."""
    path = seeded_models.scrfd(tmp_path / "m.onnx", batch="N")
    session = Session(path, threads=1)
    runs = BoundRuns(session._alone, "cpu")
    random = np.random.default_rng(1)
    for height in (96, 64, 96):
        item = random.uniform(-1, 1, (1, 3, height, 64)).astype(np.float32)
        for bound, plain in zip(runs.run(item), session.run(item), strict=True):
            np.testing.assert_array_equal(bound, plain)
    assert len(runs._buffers) == 1
