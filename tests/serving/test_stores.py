"""The settings of a bucket reach it."""

from pathlib import Path

import pytest

from facegrid.domain.errors import ConfigurationError
from facegrid.serving.stores import open_store
from facegrid.settings import Settings
from facegrid.storage.objects.files import FolderLock


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
