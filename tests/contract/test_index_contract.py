"""What every index promises."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from contract.indexes import DIMENSION, rows
from facegrid.domain.errors import IndexLoading, InvalidField, StoreUnavailable
from facegrid.domain.galleries import IndexRows
from facegrid.domain.index_settings import IndexSettings, SearchMethod
from facegrid.domain.labels import NO_LABELS
from facegrid.domain.matching import Hit
from facegrid.domain.templates import round_score
from facegrid.identity.ports import Index
from facegrid.storage.indexes.milvus import MilvusIndex
from facegrid.storage.indexes.milvus_connection import MilvusOptions
from index_rows import unit_vectors


def keys(hits: list[Hit]) -> list[str]:
    """Return the keys of the rows that were found."""
    return [f"{hit.encounter_id}/{hit.sample}" for hit in hits]


async def test_hits_are_those_of_brute_force(index: Index, gallery: str) -> None:
    """Each probe gets the rows with the highest products, best first, with rounded scores."""
    stored, probes = unit_vectors(300), unit_vectors(5, seed=1)
    all_rows = rows(stored)
    await index.open(gallery, "v1", DIMENSION)
    await index.add(gallery, all_rows)
    found = await index.search(gallery, probes, 40)
    for scores, hits in zip(probes @ stored.T, found, strict=True):
        best = np.argsort(-scores)[:40]
        assert keys(hits) == all_rows.take(best).keys
        assert [hit.subject_id for hit in hits] == all_rows.take(best).subject_ids
        assert [hit.score for hit in hits] == pytest.approx(scores[best], abs=2e-6)
        assert all(hit.score == round_score(hit.score) for hit in hits)


async def test_an_approximate_search_ranks_by_exact_scores(index: Index, gallery: str) -> None:
    """Where the index cannot approximate, it searches exactly; rows that were just added are never missed."""
    settings, stored, probes = (
        IndexSettings(SearchMethod.APPROXIMATE, 4),
        unit_vectors(300),
        unit_vectors(3, seed=1),
    )
    await index.open(gallery, "v1", DIMENSION, settings)
    await index.add(gallery, rows(stored))
    await index.check()
    for probe, hits in zip(probes, await index.search(gallery, probes, 20, settings), strict=True):
        scores = stored.astype(np.float64) @ probe.astype(np.float64)
        best = np.argsort(-scores)[:20]
        assert keys(hits) == rows(stored).take(best).keys
        assert [hit.score for hit in hits] == pytest.approx(scores[best], abs=2e-6)


@pytest.mark.parametrize("settings", [IndexSettings(), IndexSettings(SearchMethod.APPROXIMATE, 64)])
async def test_scores_are_those_of_float64_to_a_millionth(
    index: Index, gallery: str, settings: IndexSettings
) -> None:
    """Whatever compares the vectors, from strangers to copies; and no row scores higher than the first."""
    stored = unit_vectors(3_000, 512)
    mixed = [
        share * stored[:10] + (1 - share) * unit_vectors(10, 512, seed=1) for share in (0.4, 0.6, 0.8, 1)
    ]
    probes = np.concatenate([one / np.linalg.norm(one, axis=1, keepdims=True) for one in mixed])
    await index.open(gallery, "v1", 512, settings)
    await index.add(gallery, rows(stored))
    places = {key: row for row, key in enumerate(rows(stored).keys)}
    for probe, hits in zip(probes, await index.search(gallery, probes, 100, settings), strict=True):
        scores = stored.astype(np.float64) @ probe.astype(np.float64)
        found = scores[[places[key] for key in keys(hits)]]
        assert [hit.score for hit in hits] == pytest.approx([round_score(one) for one in found], abs=1.01e-6)
        assert found[0] == pytest.approx(scores.max(), abs=1e-6)


async def test_rows_of_equal_score_are_all_there(index: Index, gallery: str) -> None:
    """Copies of one vector tie exactly, whatever rows stand between them."""
    stored = unit_vectors(60)
    stored[[3, 17, 18, 40]] = stored[3]
    await index.open(gallery, "v1", DIMENSION)
    await index.add(gallery, rows(stored))
    (hits,) = await index.search(gallery, stored[3:4], 5)
    assert {hit.score for hit in hits[:4]} == {hits[0].score}
    assert set(keys(hits[:4])) == {"e1/1", "e8/1", "e9/0", "e20/0"}
    assert hits[4].score < hits[3].score


async def test_an_empty_index_answers_an_empty_list_for_each_probe(index: Index, gallery: str) -> None:
    """A gallery without subjects can be searched."""
    assert await index.open(gallery, "v1", DIMENSION) == set()
    await index.add(gallery, rows(unit_vectors(0)))
    await index.remove(gallery, [])
    assert await index.search(gallery, unit_vectors(2), 10) == [[], []]


async def test_a_limit_beyond_the_rows_returns_every_row(index: Index, gallery: str) -> None:
    """Fewer hits than the limit say that there are no more."""
    await index.open(gallery, "v1", DIMENSION)
    await index.add(gallery, rows(unit_vectors(25)))
    for limit, expected in ((24, 24), (25, 25), (26, 25), (20_000, 25)):
        (hits,) = await index.search(gallery, unit_vectors(1, seed=9), limit)
        assert len(set(keys(hits))) == len(hits) == expected


async def test_a_row_with_a_known_key_is_overwritten(index: Index, gallery: str) -> None:
    """The last vector and subject given for a key stand, also within one call."""
    old, middle, new = unit_vectors(3)
    await index.open(gallery, "v1", DIMENSION)
    await index.add(
        gallery, IndexRows(["s", "s"], ["e1", "e2"], [0, 0], np.stack([old, old]), [NO_LABELS] * 2)
    )
    await index.add(
        gallery, IndexRows(["s", "t"], ["e1", "e1"], [0, 0], np.stack([middle, new]), [NO_LABELS] * 2)
    )
    (hits,) = await index.search(gallery, new[None], 10)
    assert keys(hits) == ["e1/0", "e2/0"]
    assert (hits[0].subject_id, hits[0].score) == ("t", pytest.approx(1.0))
    (hits,) = await index.search(gallery, middle[None], 10)
    assert sorted(hit.score for hit in hits) == pytest.approx(sorted([middle @ old, middle @ new]), abs=2e-6)


async def test_removed_encounters_are_not_found(index: Index, gallery: str) -> None:
    """All samples of the encounters go and no others; unknown ids change nothing."""
    stored = rows(unit_vectors(40))
    await index.open(gallery, "v1", DIMENSION)
    await index.add(gallery, stored)
    await index.remove(gallery, ["e0", "e7", "e19", "never"])
    left = {key for key in stored.keys if key.partition("/")[0] not in {"e0", "e7", "e19"}}
    assert await index.open(gallery, "v1", DIMENSION) == left
    (hits,) = await index.search(gallery, stored.vectors[:1], 100)
    assert set(keys(hits)) == left


async def test_rows_stay_right_through_additions_and_removals(index: Index, gallery: str) -> None:
    """After many changes in mixed order each row still has its own vector."""
    stored = rows(unit_vectors(120))
    await index.open(gallery, "v1", DIMENSION)
    for start in range(0, 120, 20):
        await index.add(gallery, stored.part(slice(start, start + 20)))
        await index.remove(gallery, [f"e{start // 2 + step}" for step in (0, 4, 9)])
    await index.add(gallery, stored.part(slice(2)))
    live = stored.take([row for row in range(120) if row < 2 or row // 2 % 10 not in {0, 4, 9}])
    found = await index.search(gallery, live.vectors, 1)
    assert [keys(hits) for hits in found] == [[key] for key in live.keys]


async def test_galleries_do_not_see_each_other_and_are_dropped_alone(index: Index, gallery: str) -> None:
    """A gallery whose id begins with another's is another one; dropping twice, or nothing, is no error."""
    other = gallery + "0"
    for name in (gallery, other):
        await index.open(name, "v1", DIMENSION)
        await index.add(name, rows(unit_vectors(4), prefix=name[-3:]))
    for _ in range(2):
        await index.drop(gallery)
    with pytest.raises(IndexLoading):
        await index.search(gallery, unit_vectors(1), 10)
    (hits,) = await index.search(other, unit_vectors(1), 10)
    assert {hit.encounter_id[:3] for hit in hits} == {other[-3:]}
    assert await index.open(gallery, "v1", DIMENSION) == set()


async def test_templates_of_another_version_begin_an_empty_index(index: Index, gallery: str) -> None:
    """Versions, also of another length, never share an index."""
    await index.open(gallery, "pack-1.0", DIMENSION)
    await index.add(gallery, rows(unit_vectors(4)))
    assert await index.open(gallery, "pack-1.1", 8) == set()
    assert await index.search(gallery, unit_vectors(1)[:, :8], 10) == [[]]


async def test_concurrent_writers_and_searchers_lose_nothing(index: Index, gallery: str) -> None:
    """Rows added by several tasks at once are all there, and no search meets a torn row."""
    stored = rows(unit_vectors(400))
    await index.open(gallery, "v1", DIMENSION)

    async def search() -> None:
        for _ in range(10):
            (hits,) = await index.search(gallery, stored.vectors[:1], 400)
            assert len(set(keys(hits))) == len(hits)

    writes = [index.add(gallery, stored.part(slice(start, start + 10))) for start in range(0, 400, 10)]
    await asyncio.gather(search(), *writes, search())
    assert await index.open(gallery, "v1", DIMENSION) == set(stored.keys)


async def test_searches_made_at_once_get_their_own_answers(index: Index, gallery: str) -> None:
    """Each gets the rows for its own probes, and as many as it asked for."""
    stored = rows(unit_vectors(50))
    await index.open(gallery, "v1", DIMENSION)
    await index.add(gallery, stored)
    searches = [index.search(gallery, stored.vectors[:place], place) for place in range(1, 9)]
    for place, found in enumerate(await asyncio.gather(*searches), 1):
        assert [keys(hits)[0] for hits in found] == stored.keys[:place]
        assert {len(hits) for hits in found} == {place}


async def test_a_search_that_is_called_off_holds_up_no_other(index: Index, gallery: str) -> None:
    """Those that came with it are answered."""
    stored = rows(unit_vectors(50))
    await index.open(gallery, "v1", DIMENSION)
    await index.add(gallery, stored)
    searches = [asyncio.create_task(index.search(gallery, stored.vectors[:1], 1)) for _ in range(5)]
    await asyncio.sleep(0)
    searches[0].cancel()
    searches[2].cancel()
    for search in (searches[1], *searches[3:]):
        (hits,) = await search
        assert keys(hits) == ["e0/0"]


async def test_a_search_that_fails_holds_up_no_later_one(index: Index, gallery: str) -> None:
    """A probe that fits no row is its caller's trouble alone."""
    stored = rows(unit_vectors(50))
    await index.open(gallery, "v1", DIMENSION)
    await index.add(gallery, stored)
    with pytest.raises((ValueError, AssertionError, StoreUnavailable)):
        await index.search(gallery, stored.vectors[:1, :-1], 1)
    (hits,) = await index.search(gallery, stored.vectors[:1], 1)
    assert keys(hits) == ["e0/0"]


async def test_a_gallery_must_be_open(index: Index, gallery: str) -> None:
    """Searching or changing what was not opened is told, not answered with nothing."""
    for call in (
        index.search(gallery, unit_vectors(1), 1),
        index.add(gallery, rows(unit_vectors(1))),
        index.remove(gallery, ["e0"]),
    ):
        with pytest.raises(IndexLoading):
            await call


@pytest.mark.integration
async def test_milvus_lite_keeps_its_rows_when_it_is_closed(tmp_path: Path, gallery: str) -> None:
    """A new client on the same folder returns the keys and finds the rows."""
    stored = rows(unit_vectors(30))
    first = MilvusIndex(str(tmp_path / "milvus"))
    await first.open(gallery, "v1", DIMENSION)
    await first.add(gallery, stored)
    await first.remove(gallery, ["e3"])
    first.close()
    second = MilvusIndex(str(tmp_path / "milvus"))
    try:
        assert await second.open(gallery, "v1", DIMENSION) == set(stored.keys) - {"e3/0", "e3/1"}
        (hits,) = await second.search(gallery, stored.vectors[:1], 1)
        assert keys(hits) == ["e0/0"]
    finally:
        second.close()


@pytest.mark.integration
async def test_milvus_says_so_where_more_rows_are_needed_than_it_returns(
    tmp_path: Path, gallery: str
) -> None:
    """A limit above 16,384 is never answered with 16,384 rows as if there were no more."""
    index = MilvusIndex(str(tmp_path / "milvus"))
    vectors = np.eye(2, dtype=np.float32)[np.zeros(16_385, int)]
    try:
        await index.open(gallery, "v1", 2)
        await index.add(gallery, rows(vectors))
        with pytest.raises(InvalidField, match="16384"):
            await index.search(gallery, vectors[:1], 20_000)
    finally:
        index.close()


async def test_a_milvus_that_cannot_be_reached_is_unavailable_and_stays_unnamed(gallery: str) -> None:
    """The client learns that the index does not answer, and not where it is."""
    index = MilvusIndex("http://127.0.0.1:9", MilvusOptions("a-token"))
    with pytest.raises(StoreUnavailable) as caught:
        await index.open(gallery, "v1", DIMENSION)
    index.close()
    assert "127.0.0.1" not in caught.value.message
    assert "a-token" not in caught.value.message
