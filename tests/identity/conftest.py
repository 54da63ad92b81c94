"""Fixtures of the use cases."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from facegrid.domain.index_settings import IndexSettings, SearchMethod
from fakes import FakeVision
from house import House, build_house
from lossy_index import LISTS, LossyIndex


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Yield the use cases with an empty gallery "g"."""
    built = build_house(tmp_path, FakeVision())
    await built.make_gallery()
    yield built
    built.close()


@pytest.fixture
async def lossy(tmp_path: Path) -> AsyncIterator[House]:
    """Yield a house with an approximate gallery "g" that reads half of its lists."""
    house = build_house(tmp_path, FakeVision(), LossyIndex(workers=2))
    await house.make_gallery(index=IndexSettings(SearchMethod.APPROXIMATE, LISTS // 2))
    yield house
    house.close()
