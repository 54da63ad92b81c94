"""The scan as integers and the scores as float32: whatever the vectors are, no row is missed."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegrid.domain.faces import Floats
from facegrid.storage.indexes import vectors as scanned
from facegrid.storage.indexes.vectors import ScannedVectors

MakeRows = Callable[[np.random.Generator, int, int], Floats]
DIMENSIONS = st.sampled_from([1, 3, 16, 24, 100, 128, 512, 2048])


@pytest.fixture(scope="module")
def scanners() -> Iterator[ThreadPoolExecutor]:
    """Yield two threads for scanning."""
    with ThreadPoolExecutor(2, "scan", faiss.omp_set_num_threads, (1,)) as pool:
        yield pool


@pytest.fixture(scope="module", autouse=True)
def _small_steps() -> Iterator[None]:
    """Make blocks of 64 rows, of which a scan fetches so few that it must often scan again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanned, "BLOCK_ROWS", 64)
        patch.setattr(scanned, "_FETCHED", 1)
        patch.setattr(scanned, "_FETCHED_PER_BLOCK", 1)
        yield


def unit(rows: Floats) -> Floats:
    """Return rows of length 1."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def random_rows(rng: np.random.Generator, count: int, dimension: int) -> Floats:
    """Return rows in no direction more than in another."""
    return unit(rng.standard_normal((count, dimension)))


def near_ties(rng: np.random.Generator, count: int, dimension: int) -> Floats:
    """Return copies of three rows, moved by one part in a thousand to ten million, or not at all."""
    moved = rng.standard_normal((count, dimension)) * rng.choice([0, 1e-7, 1e-5, 1e-3], (count, 1))
    return unit(random_rows(rng, 3, dimension)[rng.integers(0, 3, count)] + moved / np.sqrt(dimension))


def peaked(rng: np.random.Generator, count: int, dimension: int) -> Floats:
    """Return rows that lie almost along an axis, far outside the range of the codes."""
    return unit(rng.standard_normal((count, dimension)) ** 9 + 1e-3)


def half_steps(rng: np.random.Generator, count: int, dimension: int) -> Floats:
    """Return rows whose elements all lie between two codes."""
    step = min(1.0, 6 / np.sqrt(dimension)) / 127
    codes = rng.integers(-2, 3, (count, dimension)) + rng.choice([-0.49, 0.49], (count, dimension))
    return (codes * step).astype(np.float32)


ROWS = st.sampled_from([random_rows, near_ties, peaked, half_steps])


def fill(vectors: Floats, scanners: ThreadPoolExecutor) -> ScannedVectors:
    """Return an object that holds the vectors in the places of their numbers."""
    held = ScannedVectors(vectors.shape[1], scanners, 2)
    held.put(np.arange(len(vectors)), held.encode(vectors))
    return held


def check(held: ScannedVectors, vectors: Floats, probes: Floats, limit: int) -> None:
    """Compare a search with brute force in float64; rows of equal score may stand in any order."""
    for probe, (places, scores) in zip(probes, held.search(probes, limit), strict=True):
        products = vectors.astype(np.float64) @ probe.astype(np.float64)
        np.testing.assert_allclose(scores, np.sort(products)[::-1][:limit], rtol=0, atol=1e-12)
        np.testing.assert_allclose(scores, products[places], rtol=0, atol=1e-12)
        assert len(set(places.tolist())) == min(limit, len(vectors))


@settings(deadline=None, max_examples=150)
@given(
    make=ROWS,
    make_probes=ROWS,
    dimension=DIMENSIONS,
    count=st.integers(1, 300),
    limit=st.integers(1, 320),
    seed=st.integers(0, 2**32),
)
def test_a_search_is_brute_force(
    scanners: ThreadPoolExecutor,
    *,
    make: MakeRows,
    make_probes: MakeRows,
    dimension: int,
    count: int,
    limit: int,
    seed: int,
) -> None:
    """The best rows and their scores are those of the float32 vectors, for vectors of every kind."""
    rng = np.random.default_rng(seed)
    vectors = make(rng, count, dimension)
    probes = np.concatenate([make_probes(rng, 2, dimension), vectors[:1]])
    check(fill(vectors, scanners), vectors, probes, limit)


@pytest.mark.parametrize("dimension", [16, 128, 512])
def test_a_row_that_every_rounding_holds_back_is_found(scanners: ThreadPoolExecutor, dimension: int) -> None:
    """The best row is rounded down by nearly its bound, and 150 that are hardly worse up by as much."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], dimension)
    step = min(1.0, 6 / np.sqrt(dimension)) / 127
    rounded_up = signs * np.where(np.arange(dimension) % 16, 2.51, 1.51)
    vectors = step * np.stack([*[rounded_up] * 150, signs * 2.49]).astype(np.float32)
    ((places, scores),) = fill(vectors, scanners).search(signs[None].astype(np.float32), 1)
    assert places.tolist() == [150]
    assert scores == pytest.approx(2.49 * step * dimension, rel=1e-6)


@settings(deadline=None, max_examples=50)
@given(make=ROWS, seed=st.integers(0, 2**32))
def test_rows_that_are_overwritten_and_removed_leave_nothing_behind(
    scanners: ThreadPoolExecutor, make: MakeRows, seed: int
) -> None:
    """After changes in any order, across blocks, a search is that of the vectors which are there."""
    rng = np.random.default_rng(seed)
    held, expected = ScannedVectors(24, scanners, 2), np.empty((0, 24), np.float32)
    for _ in range(8):
        new = make(rng, int(rng.integers(1, 90)), 24)
        kept = min(len(expected), int(rng.integers(0, len(new) + 1)))
        places = np.concatenate(
            [rng.permutation(len(expected))[:kept], len(expected) + np.arange(len(new) - kept)]
        )
        held.put(places, held.encode(new))
        expected = np.concatenate([expected, new[kept:]])
        expected[places] = new
        for place in rng.permutation(len(expected) // 2)[:40].tolist():
            held.remove(place)
            expected[place] = expected[-1]
            expected = expected[:-1]
        check(held, expected, make(rng, 2, 24), 10)


def test_of_several_vectors_for_one_place_the_last_stands(scanners: ThreadPoolExecutor) -> None:
    """What one call puts twice is what it put last."""
    held, vectors = ScannedVectors(16, scanners, 2), random_rows(np.random.default_rng(0), 3, 16)
    held.put(np.array([0, 1, 0]), held.encode(vectors))
    check(held, vectors[[2, 1]], vectors, 2)


def test_nothing_is_found_where_nothing_is_held(scanners: ThreadPoolExecutor) -> None:
    """Each probe gets an empty answer, also once the last vector went."""
    vectors = random_rows(np.random.default_rng(0), 1, 16)
    held = fill(vectors, scanners)
    held.remove(0)
    assert [len(places) for places, _ in held.search(np.repeat(vectors, 2, axis=0), 5)] == [0, 0]
