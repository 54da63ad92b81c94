"""The store of another server."""

from collections.abc import Callable

import pytest

from facegrid.domain.errors import LeaderUnavailable
from facegrid.storage.objects.read_only import ReadOnlyStore
from storage.making import MemoryStore

WRITES: list[Callable[[ReadOnlyStore], object]] = [
    lambda store: store.put("a", b"2"),
    lambda store: store.put_if_absent("b", b"2"),
    lambda store: store.copy("a", "b"),
    lambda store: store.delete("a"),
    lambda store: store.delete_prefix("a/"),
]


@pytest.mark.parametrize("write", WRITES)
def test_nothing_is_written(write: Callable[[ReadOnlyStore], object]) -> None:
    """Reads pass, writes are refused."""
    store = MemoryStore({"a": b"1", "a/b": b"3"})
    reader = ReadOnlyStore(store)
    with pytest.raises(LeaderUnavailable):
        write(reader)
    assert store.objects == {"a": b"1", "a/b": b"3"}
    assert (reader.get("a"), reader.get_range("a", 0, 1), list(reader.keys(""))) == (b"1", b"1", ["a", "a/b"])
