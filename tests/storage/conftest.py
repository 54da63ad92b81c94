"""Records in each kind of store."""

from collections.abc import Iterator

import pytest

from facegrid.domain.galleries import Gallery
from facegrid.storage.objects.store import ObjectStore
from facegrid.storage.records.records import StoredRecords
from storage.making import make_call, make_gallery
from stores import STORES, MakeStore


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, make_store: MakeStore) -> ObjectStore:
    """Make an empty store of each kind."""
    return make_store(request.param)


@pytest.fixture
def records(store: ObjectStore) -> Iterator[StoredRecords]:
    """Open the records of the store."""
    opened = StoredRecords(store, workers=4)
    yield opened
    opened.close()


@pytest.fixture
async def gallery(records: StoredRecords) -> Gallery:
    """Make an empty gallery."""
    return await records.create_gallery(make_gallery(), make_call("CreateGallery", "r1"))
