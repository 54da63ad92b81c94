"""Rebuild, check and duplicates where the index is in Milvus."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from facegrid.domain.errors import IndexLoading
from facegrid.domain.galleries import IndexRows
from facegrid.domain.inspection import Problem
from facegrid.domain.labels import NO_LABELS, Labels
from facegrid.identity.check import Checked, CheckStep
from facegrid.identity.duplicates import DuplicatesStep, FindDuplicates
from facegrid.identity.projection import Projection
from facegrid.storage.indexes.milvus import MilvusIndex
from fakes import DIMENSION, FakeVision, fake_template
from house import House, build_house

pytestmark = pytest.mark.integration
PEOPLE = ("ann", "bob", "cid", "dan", "eve")
Open = Callable[[], MilvusIndex]


@pytest.fixture(params=["milvus-lite", "milvus-server"])
def open_index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Return a function that opens the same index again, as the next process does."""
    lite = request.param == "milvus-lite"
    uri = str(tmp_path / "milvus") if lite else request.getfixturevalue("milvus_uri")
    opened: list[MilvusIndex] = []

    def make() -> MilvusIndex:
        for one in opened:
            one.close()
        opened[:] = [MilvusIndex(uri)]
        return opened[0]

    yield make
    for one in opened:
        one.close()


@pytest.fixture
async def house(open_index: Open, tmp_path: Path) -> AsyncIterator[House]:
    """Yield the use cases with five people in Milvus, ann under two names."""
    built = build_house(tmp_path / "data", FakeVision(), index=open_index())
    with suppress(IndexLoading):
        await built.make_gallery()
    await built.projection.fill(await built.galleries.get("g"))
    for name in PEOPLE:
        await built.add(name, name.encode(), f"{name}#2".encode())
    await built.add("zoe", b"ann#3")
    yield built
    built.close()


async def collections(index: MilvusIndex, gallery_id: str) -> list[str]:
    """Return the collections of a gallery."""
    names: list[str] = index._connection.call(lambda client: client.list_collections())
    return [name for name in names if gallery_id in name]


async def test_a_rebuild_leaves_one_collection_that_is_opened_again(house: House, open_index: Open) -> None:
    """What a process left that was killed in a rebuild goes when the next one opens; the old one serves."""
    gallery = await house.galleries.get("g")
    killed = await house.index.begin(gallery.gallery_id, gallery.template_version, gallery.dimension)
    vectors = np.eye(1, DIMENSION, dtype=np.float32)
    await house.index.add(killed, IndexRows(["x"], ["ee" * 16], [0], vectors, [NO_LABELS]))
    assert len(await collections(house.index, gallery.gallery_id)) == 2
    for _ in range(2):
        index = open_index()
        projection = Projection(house.records, index)
        await projection.fill(gallery)
        assert len(await collections(index, gallery.gallery_id)) == 1
        (hits,) = await projection.search(gallery, fake_template(b"bob").vector[None], 1)
        assert hits[0].subject_id == "bob"
        async for _rows in projection.rebuild(gallery):
            (hits,) = await projection.search(gallery, fake_template(b"cid").vector[None], 1)
            assert hits[0].subject_id == "cid"
        assert len(await collections(index, gallery.gallery_id)) == 1
        assert sum([len(page) async for page in projection.entries(gallery)]) == 11
    open_index()


async def test_a_check_makes_milvus_equal_to_the_records(house: House) -> None:
    """Rows that it lacks, has too much and has otherwise."""
    gallery = await house.galleries.get("g")
    ids = {}
    for name in PEOPLE:
        subject = await house.records.subject(gallery, name)
        assert subject
        ids[name] = subject.encounters[0].encounter_id
    vectors = np.eye(1, DIMENSION, dtype=np.float32)
    await house.index.remove(gallery.gallery_id, [ids["ann"]])
    for subject_id, one in (("bob", ids["bob"]), ("who", "ee" * 16)):
        rows = IndexRows([subject_id], [one], [0], vectors, [NO_LABELS])
        await house.index.add(gallery.gallery_id, rows)
    cid = np.stack([fake_template(name).vector for name in (b"cid", b"cid#2")])
    rows = IndexRows(["cid"] * 2, [ids["cid"]] * 2, [0, 1], cid, [Labels({"born": 1980}, ("x",))] * 2)
    await house.index.add(gallery.gallery_id, rows)
    expected = {
        (Problem.NOT_INDEXED, ids["ann"]),
        (Problem.DIFFERENT, ids["bob"]),
        (Problem.NOT_RECORDED, "ee" * 16),
        (Problem.LABELS_OUT_OF_DATE, ids["cid"]),
    }
    for repair, wanted in ((False, expected), (True, expected), (False, set())):
        steps = [step async for step in house.check("g", repair=repair)]
        found = [one for step in steps if isinstance(step, CheckStep) for one in step.findings]
        assert {(one.problem, one.name) for one in found} == wanted
        assert isinstance(steps[-1], Checked)
        assert steps[-1].sound is (repair or not wanted)
    assert await house.found(b"bob") == ["bob"]


async def test_duplicates_are_found_by_searches(house: House) -> None:
    """As they are by comparing."""
    searching = FindDuplicates(
        house.galleries, house.records, house.projection, house.threads, by_search=True
    )
    pairs = []
    for find in (house.duplicates, searching):
        steps = [step async for step in find("g")]
        pairs.append([pair for step in steps if isinstance(step, DuplicatesStep) for pair in step.pairs])
    assert [(one.first.subject_id, one.second.subject_id) for one in pairs[1]] == [("ann", "zoe")]
    assert [one.score for one in pairs[1]] == pytest.approx([one.score for one in pairs[0]], abs=2e-6)
