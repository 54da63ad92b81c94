"""Records in a folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from facegrid.storage.files import LocalObjectStore
from facegrid.storage.records import StoredRecords


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
