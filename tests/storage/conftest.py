"""Records in a folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from facegrid.domain.galleries import Gallery
from facegrid.storage.files import LocalObjectStore
from facegrid.storage.records import StoredRecords
from storage.making import make_call, make_gallery


@pytest.fixture
def store(tmp_path: Path) -> LocalObjectStore:
    """Make an empty store."""
    return LocalObjectStore(tmp_path / "store")


@pytest.fixture
def records(store: LocalObjectStore) -> Iterator[StoredRecords]:
    """Open the records of the store."""
    opened = StoredRecords(store, workers=4)
    yield opened
    opened.close()


@pytest.fixture
async def gallery(records: StoredRecords) -> Gallery:
    """Make an empty gallery."""
    return await records.create_gallery(make_gallery(), make_call("CreateGallery", "r1"))
