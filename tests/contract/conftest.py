"""The servers that the contracts are held against."""

import os
import subprocess
from collections.abc import Iterator

import pytest

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
