"""A bucket is refused where it would keep what is deleted, and cleared of broken uploads."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from minio.versioningconfig import ENABLED, SUSPENDED, VersioningConfig

from facegrid.domain.errors import ConfigurationError
from facegrid.serving.stores import open_store
from facegrid.settings import Settings
from facegrid.storage.objects.files import FolderLock
from facegrid.storage.objects.s3 import S3ObjectStore
from s3_servers import S3Server, folder_in_memory, make_server, running_s3
from stores import S3_KINDS

pytestmark = pytest.mark.integration


@pytest.fixture(params=S3_KINDS)
def versioned(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    """Run a server of each kind that can keep versions."""
    with folder_in_memory() as folder:
        server = make_server(request.param, folder)
        if request.param == "versitygw":
            (folder / "versions").mkdir()
            server.command[-1:-1] = ["--versioning-dir", folder / "versions"]
        with running_s3(server):
            yield server


@pytest.mark.parametrize("status", [ENABLED, SUSPENDED])
def test_a_bucket_that_keeps_versions_is_refused(versioned: S3Server, status: str, tmp_path: Path) -> None:
    """Before anything is written; the error names the bucket and what to do. Object lock needs versions."""
    with closing(versioned.store()) as store:
        store.prepare()
        store._client.set_bucket_versioning("tests", VersioningConfig(status))
        with (
            FolderLock(tmp_path) as lock,
            pytest.raises(ConfigurationError, match=f"/tests/ .*{status.lower()}.*never had versioning"),
        ):
            open_store(Settings(data=tmp_path, store=versioned.url), lock)
        assert list(store.keys("")) == []


@pytest.mark.parametrize("kind", S3_KINDS)
def test_broken_uploads_of_ours_are_removed(kind: str, s3_server: Callable[[str], S3Server]) -> None:
    """Those that may still go on stay, and those of others in the bucket."""
    with closing(s3_server(kind).store("ours")) as ours:
        for name in ("ours/a", "theirs/a"):
            ours._client._create_multipart_upload("tests", name, {})
        ours.prepare()
        assert {"ours/a", "theirs/a"} <= uploads(ours)
        ours.prepare(stale_after=timedelta(0))
        assert "ours/a" not in uploads(ours)
        assert "theirs/a" in uploads(ours)


def uploads(store: S3ObjectStore) -> set[str]:
    """Return the names of the objects of which parts are there."""
    return {one.object_name for one in store._client._list_multipart_uploads("tests").uploads}
