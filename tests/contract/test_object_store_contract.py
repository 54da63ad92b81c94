"""What every object store promises."""

import stat
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import pytest

from facegrid.storage.objects.files import LocalObjectStore
from facegrid.storage.objects.store import ObjectMissing, ObjectStore
from stores import STORES, MakeStore


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, make_store: MakeStore) -> ObjectStore:
    """Make an empty store of each kind."""
    return make_store(request.param)


def test_a_written_object_is_read_back_and_can_be_overwritten(store: ObjectStore) -> None:
    """`put` replaces what was there."""
    store.put("a/one", b"1")
    store.put("a/one", b"\x002")
    assert store.get("a/one") == b"\x002"


@pytest.mark.parametrize("key", ["none", "a/none", "a", "a/one/below"])
def test_a_missing_object_is_told_by_its_key(store: ObjectStore, key: str) -> None:
    """`get` raises ObjectMissing for what is no object, a folder of objects included."""
    store.put("a/one", b"1")
    with pytest.raises(ObjectMissing, match=key):
        store.get(key)


def test_a_range_of_an_object_is_read(store: ObjectStore) -> None:
    """`get_range` returns what there is of the range; a missing object is told by its key."""
    store.put("a/one", b"0123456789")
    assert store.get_range("a/one", 2, 3) == b"234"
    store.put("a/empty", b"")
    assert store.get_range("a/one", 8, 5) == b"89"
    for key, start, length in (("one", 10, 5), ("one", 99, 1), ("one", 0, 0), ("one", 3, 0), ("empty", 0, 4)):
        assert store.get_range(f"a/{key}", start, length) == b""
    for key, length in product(("none", "a", "a/one/below"), (0, 1)):
        with pytest.raises(ObjectMissing, match=key):
            store.get_range(key, 0, length)


def test_only_the_first_conditional_write_wins(store: ObjectStore) -> None:
    """`put_if_absent` leaves an object alone that is there, and says so."""
    assert store.put_if_absent("a/one", b"1")
    assert not store.put_if_absent("a/one", b"2")
    assert store.get("a/one") == b"1"


def test_of_many_conditional_writers_exactly_one_wins(store: ObjectStore) -> None:
    """`put_if_absent` is atomic among threads, and what is read is the winner's."""
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: store.put_if_absent("a/one", bytes([n]) * 5000), range(40)))
    assert won.count(True) == 1
    assert store.get("a/one") == bytes([won.index(True)]) * 5000


def test_a_copy_is_an_object_of_its_own(store: ObjectStore) -> None:
    """`copy` replaces what was there, and neither key's fate is the other's."""
    store.put("a/one", b"1")
    store.put("b/c/two", b"2")
    for _ in range(2):
        store.copy("a/one", "b/c/two")
    store.put("a/one", b"3")
    assert store.get("b/c/two") == b"1"
    store.copy("b/c/two", "a/one")
    store.delete("b/c/two")
    assert store.get("a/one") == b"1"
    assert list(store.keys("")) == ["a/one"]


@pytest.mark.parametrize("key", ["none", "a/none", "a", "a/one/below"])
def test_a_missing_object_is_not_copied(store: ObjectStore, key: str) -> None:
    """`copy` raises ObjectMissing for what is no object, and leaves the target alone."""
    store.put("a/one", b"1")
    with pytest.raises(ObjectMissing, match=key):
        store.copy(key, "a/one")
    assert store.get("a/one") == b"1"


def test_a_deleted_object_is_gone_and_may_be_deleted_again(store: ObjectStore) -> None:
    """`delete` ignores what is not there."""
    store.put("a/b/one", b"1")
    for _ in range(2):
        store.delete("a/b/one")
    assert list(store.keys("")) == []
    assert store.put_if_absent("a/b/one", b"2")


def test_a_prefix_is_deleted_with_all_below_it_and_nothing_else(store: ObjectStore) -> None:
    """`delete_prefix` means whole segments."""
    for key in ("a/b/one", "a/b/c/two", "a/bc", "a/bd/three"):
        store.put(key, b"")
    for _ in range(2):
        store.delete_prefix("a/b/")
    assert list(store.keys("")) == ["a/bc", "a/bd/three"]


def test_keys_come_in_the_order_of_their_characters(store: ObjectStore) -> None:
    """`keys` sorts whole keys, as S3 does, not segments."""
    keys = ["a-b/one", "a.json", "a/one", "a/two/deep/er", "aa/one", "b"]
    for key in reversed(keys):
        store.put(key, b"")
    assert list(store.keys("")) == keys
    assert list(store.keys("a/")) == ["a/one", "a/two/deep/er"]
    assert list(store.keys("none/")) == []


def test_keys_go_on_after_any_string(store: ObjectStore) -> None:
    """`after` need not be a key that exists."""
    keys = ["a-b/one", "a.json", "a/one", "a/two/deep/er", "aa/one", "b"]
    for key in keys:
        store.put(key, b"")
    for after in [*keys, "a/", "a/t", "a/two/deep/~", "a/~", "~"]:
        assert list(store.keys("", after)) == [key for key in keys if key > after]


@pytest.mark.parametrize(
    "key", ["../out", "/etc/passwd", "a/../../out", "a//b", "", ".lock", "a/.b", "a\0b", "a b"]
)
def test_a_key_that_could_leave_the_store_is_refused(store: ObjectStore, key: str) -> None:
    """Keys are plain segments; nothing outside the store is ever named."""
    for use in (store.get, store.delete, store.delete_prefix, lambda key: store.put(key, b"")):
        with pytest.raises(ValueError, match="no object key"):
            use(key)


def test_writers_and_deleters_of_neighbours_do_not_disturb_each_other(store: ObjectStore) -> None:
    """Removing the last object of a prefix while another is written there loses neither."""

    def write_and_delete(number: int) -> None:
        for _ in range(20):
            store.put(f"a/b/c/{number}", b"x")
            assert store.get(f"a/b/c/{number}") == b"x"
            store.delete(f"a/b/c/{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write_and_delete, range(4)))
    assert list(store.keys("")) == []


def test_a_folder_is_private_and_left_clean(tmp_path: Path) -> None:
    """Only the owner reads files and folders; a folder goes with its last object."""
    store = LocalObjectStore(tmp_path / "store")
    store.put("a/b/one", b"1")
    paths = [tmp_path / "store", *(tmp_path / "store").rglob("*")]
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in paths}
    assert modes == {(True, 0o700), (False, 0o600)}
    store.delete("a/b/one")
    assert not (tmp_path / "store/a").exists()


def test_what_a_crash_left_unfinished_goes_when_the_folder_is_opened(tmp_path: Path) -> None:
    """A file that never got its name takes no room after a restart."""
    LocalObjectStore(tmp_path).put("a", b"1")
    (tmp_path / ".unfinished" / "tmp123").write_bytes(b"half")
    store = LocalObjectStore(tmp_path)
    assert not any((tmp_path / ".unfinished").iterdir())
    assert list(store.keys("")) == ["a"]
