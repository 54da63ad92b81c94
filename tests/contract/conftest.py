"""The indexes that the contract is held against."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from facegrid.identity.ports import Index
from facegrid.storage.indexes.milvus import MilvusIndex
from facegrid.storage.indexes.resident import ResidentIndex


@pytest.fixture(
    scope="module",
    params=[
        "resident",
        pytest.param("milvus-lite", marks=pytest.mark.integration),
        pytest.param("milvus-server", marks=pytest.mark.integration),
    ],
)
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Make an index of each kind; the tests use a gallery each."""
    folder = tmp_path_factory.mktemp("index")
    made = {
        "resident": lambda: ResidentIndex(4),
        "milvus-lite": lambda: MilvusIndex(str(folder / "milvus")),
        "milvus-server": lambda: MilvusIndex(request.getfixturevalue("milvus_uri")),
    }[request.param]()
    yield made
    made.close()


@pytest.fixture
def gallery() -> str:
    """Make the id of a gallery that no other test uses."""
    return uuid4().hex
