"""Fixtures of the use cases."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fakes import FakeVision
from house import House, build_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Yield the use cases with an empty gallery "g"."""
    built = build_house(tmp_path, FakeVision())
    await built.make_gallery()
    yield built
    built.close()
