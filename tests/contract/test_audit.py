"""Audits and tunings of a Milvus server's index."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from facegrid.domain.index_settings import IndexSettings, SearchMethod
from facegrid.identity.tune import Goal, Verdict
from facegrid.storage.indexes.milvus import MilvusIndex
from fakes import FakeVision
from house import House, build_house, call
from lossy_index import LossyIndex
from populace import enrol_people

pytestmark = pytest.mark.integration
_INDEXED_ROWS = 1100  # of fewer than 1,024 in a segment Milvus makes no lists


@pytest.fixture
async def house(tmp_path: Path, milvus_uri: str) -> AsyncIterator[House]:
    """Yield a house with an exact gallery "e" and an approximate one "g" in Milvus, filled from records."""
    first = build_house(tmp_path, FakeVision(), LossyIndex(workers=2))
    await first.make_gallery("e")
    await first.make_gallery("g", index=IndexSettings(SearchMethod.APPROXIMATE, nprobe=1))
    await enrol_people(first, one=60, several=20, gallery="e")
    await enrol_people(first, one=_INDEXED_ROWS, several=0)
    first.close()
    built = build_house(tmp_path, FakeVision(), MilvusIndex(milvus_uri))
    for name in ("e", "g"):
        await built.projection.fill(await built.galleries.get(name))
    yield built
    for name in ("e", "g"):
        await built.galleries.delete(call("DeleteGallery"), name)
    built.close()


async def test_what_lists_miss_is_measured_and_tuned_away_and_flat_misses_nothing(house: House) -> None:
    """Rows just written are compared one by one: an audit waits until they are in lists, as they will be."""
    exact = await house.audit(call("AuditGallery"), "e", 200, lambda _: None)
    assert exact.exact
    for tally in (exact.outcome.one, exact.outcome.several):
        assert (tally.sought, tally.missed, tally.recall_at_10.value) == (200, 0, 1.0)

    found = (await house.audit(call("AuditGallery"), "g", 400, lambda _: None)).outcome.one
    assert found.added_miss_rate.low > 0.02
    tuning = await house.tune(call("TuneGallery"), "g", Goal(0.02, 0), 0, lambda _: None, apply=True)
    assert (tuning.verdict, tuning.applied) == (Verdict.FOUND, True)
    assert (await house.galleries.get("g")).index.nprobe == tuning.effort > 1
    again = (await house.audit(call("AuditGallery"), "g", 400, lambda _: None)).outcome.one
    assert again.added_miss_rate.low < 0.02
