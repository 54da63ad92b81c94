"""Values that are read again when they are old."""

import asyncio

import pytest

from facegrid.domain.errors import GalleryNotFound, StoreUnavailable
from facegrid.identity.recent import Recent


class Source:
    """A store whose answers a test decides on."""

    def __init__(self) -> None:
        """Answer at once."""
        self.value, self.reads = "first", 0
        self.failure: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()

    async def read(self, key: str) -> str:
        """Answer, or fail."""
        self.reads += 1
        await self.answers.wait()
        if self.failure:
            raise self.failure
        return f"{key} {self.value}"


@pytest.fixture
def source() -> Source:
    """Make a source."""
    return Source()


@pytest.fixture
def recent(source: Source, monkeypatch: pytest.MonkeyPatch) -> Recent[str]:
    """Make values that are old at once."""
    monkeypatch.setattr("facegrid.identity.recent._AGE_S", 0.0)
    return Recent(source.read)


async def test_a_value_is_not_read_again_for_a_moment(source: Source) -> None:
    """Of many who want it, one reads it."""
    recent = Recent(source.read)
    assert await asyncio.gather(*(recent.get("k") for _ in range(5))) == ["k first"] * 5
    await recent.get("k")
    assert source.reads == 1


async def test_an_old_value_is_read_again(source: Source, recent: Recent[str]) -> None:
    """What changed is seen."""
    await recent.get("k")
    source.value = "second"
    assert await recent.get("k") == "k second"


async def test_the_last_value_serves_through_an_outage(source: Source, recent: Recent[str]) -> None:
    """Whether the source fails or hangs; where nothing is known, the failure is told."""
    await recent.get("k")
    source.failure, source.value = StoreUnavailable("gone"), "second"
    assert await recent.get("k") == "k first"
    with pytest.raises(StoreUnavailable):
        await recent.get("another")
    source.failure = None
    source.answers.clear()
    assert await recent.get("k") == "k first"
    source.answers.set()
    await asyncio.sleep(0)
    assert await recent.get("k") == "k second"


async def test_what_is_gone_is_forgotten(source: Source, recent: Recent[str]) -> None:
    """An outage does not bring it back."""
    await recent.get("k")
    source.failure = GalleryNotFound("gone")
    with pytest.raises(GalleryNotFound):
        await recent.get("k")
    source.failure = StoreUnavailable("gone")
    with pytest.raises(StoreUnavailable):
        await recent.get("k")
