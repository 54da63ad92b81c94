"""A store says whose it is, before anything is written to it."""

import json
from pathlib import Path

import pytest

from facegrid.domain.errors import ConfigurationError
from facegrid.storage.objects.files import LocalObjectStore
from facegrid.storage.objects.store import ObjectStore
from facegrid.storage.records.marker import claim_store
from storage.making import DyingStore


class CarelessStore(DyingStore):
    """A server that heeds no condition of a write."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Overwrite."""
        self._store.put(key, data)
        return True


def test_an_empty_store_becomes_ours_and_keeps_its_id(store: ObjectStore) -> None:
    """The second start finds what the first wrote."""
    assert claim_store(store, "here") == claim_store(store, "here")


@pytest.mark.parametrize("key", ["backup.tar", "a/b/c", "zebra/1"])
def test_the_data_of_others_is_refused_and_left_alone(store: ObjectStore, key: str) -> None:
    """The message names the place; nothing is written beside what is there."""
    store.put(key, b"theirs")
    with pytest.raises(ConfigurationError, match="here holds data that is not Facegrid's"):
        claim_store(store, "here")
    assert list(store.keys("")) == [key]


def test_a_folder_of_files_whose_names_are_no_keys_is_refused(tmp_path: Path) -> None:
    """Other people's folders hold blanks."""
    (tmp_path / "Holiday photographs").mkdir()
    with pytest.raises(ConfigurationError, match="not Facegrid's"):
        claim_store(LocalObjectStore(tmp_path), "here")


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        (json.dumps({"schema_version": 2, "store_id": "x"}).encode(), "run the release that wrote it"),
        (b"{", "damaged"),
    ],
)
def test_the_data_of_a_newer_release_is_refused(store: ObjectStore, marker: bytes, message: str) -> None:
    """A marker that can't be read is never overwritten."""
    store.put("facegrid.json", marker)
    with pytest.raises(ConfigurationError, match=message):
        claim_store(store, "here")
    assert store.get("facegrid.json") == marker


def test_records_whose_marker_was_lost_stay_ours(store: ObjectStore) -> None:
    """A restored backup need not have it."""
    store.put("tenants/default/names/staff.json", b"{}")
    claim_store(store, "here")
    assert list(store.keys("")) == ["facegrid.json", "tenants/default/names/staff.json"]


def test_a_server_without_conditional_writes_is_refused(store: ObjectStore) -> None:
    """Nothing would be safe there, so it is tried at each start."""
    with pytest.raises(ConfigurationError, match="If-None-Match"):
        claim_store(CarelessStore(store, writes=0), "here")
