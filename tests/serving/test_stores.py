"""The settings of a bucket reach it."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from facegrid.domain.errors import ConfigurationError
from facegrid.serving.stores import open_store
from facegrid.settings import Settings
from facegrid.storage.objects.files import FolderLock
from s3_servers import S3Server
from stores import S3_KINDS


@pytest.mark.parametrize(
    ("name", "told"), [("store_ca", "FACEGRID_STORE_CA"), ("store_credentials", "aws_access_key_id")]
)
def test_a_file_that_is_missing_is_named(tmp_path: Path, name: str, told: str) -> None:
    """Before anything is sent: the port of this store is closed."""
    settings = Settings(data=tmp_path, store="http://127.0.0.1:1/bucket", **{name: tmp_path / "missing"})
    with FolderLock(tmp_path) as lock, pytest.raises(ConfigurationError, match=told) as caught:
        open_store(settings, lock)
    assert str(tmp_path / "missing") in str(caught.value)


def test_the_data_of_others_is_refused(tmp_path: Path) -> None:
    """A folder below the data folder that is not ours stays as it was."""
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "letter.txt").write_text("Dear")
    with FolderLock(tmp_path) as lock, pytest.raises(ConfigurationError, match="not Facegrid's"):
        open_store(Settings(data=tmp_path), lock)
    assert (tmp_path / "objects" / "letter.txt").read_text() == "Dear"


@pytest.mark.integration
@pytest.mark.parametrize("kind", S3_KINDS)
@pytest.mark.parametrize(
    ("key", "data", "told"),
    [
        ("facegrid.json", b'{"schema_version": 2, "store_id": "x"}', "run the release that wrote it"),
        ("photographs/holiday.jpg", b"theirs", "not Facegrid's"),
    ],
)
def test_a_bucket_of_others_or_of_a_newer_release_is_left_alone(  # noqa: PLR0917  # the fixtures
    tmp_path: Path, s3_server: Callable[[str], S3Server], kind: str, key: str, data: bytes, told: str
) -> None:
    """The server does not start, and writes nothing: no marker, no lease."""
    prefix = f"{tmp_path.name}-{kind}"
    with closing(s3_server(kind).store(prefix)) as store, FolderLock(tmp_path) as lock:
        store.put(key, data)
        with pytest.raises(ConfigurationError, match=told):
            open_store(Settings(data=tmp_path, store=f"{s3_server(kind).url}/{prefix}"), lock)
        assert [(one, store.get(one)) for one in store.keys("")] == [(key, data)]
