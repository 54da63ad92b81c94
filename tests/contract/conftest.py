"""The servers that the contracts are held against."""

import os
import subprocess
from collections.abc import Iterator
from uuid import uuid4

import pytest

from facegrid.identity.ports import Index
from facegrid.storage.indexes.milvus import MilvusIndex
from facegrid.storage.indexes.resident import ResidentIndex
from milvus_server import install_milvus, running_milvus


@pytest.fixture(scope="session")
def milvus_uri() -> Iterator[str]:
    """Return the URI of a Milvus server: the one that FACEGRID_TEST_MILVUS_URI names, or else our own."""
    uri = os.environ.get("FACEGRID_TEST_MILVUS_URI")
    if uri:
        yield uri
        return
    try:
        programs = install_milvus()
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"Milvus 2.3.5 can't be installed ({error}); set FACEGRID_TEST_MILVUS_URI to a server's")
    with running_milvus(programs) as uri:
        yield uri


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
