"""A store that another server owns."""

from collections.abc import Iterator
from typing import NoReturn

from facegrid.domain.errors import LeaderUnavailable
from facegrid.storage.objects.store import ObjectStore


class ReadOnlyStore:
    """An ObjectStore whose writes are refused: nothing is done, and LeaderUnavailable raised."""

    def __init__(self, store: ObjectStore) -> None:
        """Take the store."""
        self._store = store

    def get(self, key: str) -> bytes:
        """Return an object. Raises ObjectMissing."""
        return self._store.get(key)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return part of an object. Raises ObjectMissing."""
        return self._store.get_range(key, start, length)

    def put(self, key: str, data: bytes) -> None:  # noqa: ARG002  # the port
        """Refuse."""
        _refuse()

    def put_if_absent(self, key: str, data: bytes) -> bool:  # noqa: ARG002  # the port
        """Refuse."""
        _refuse()

    def copy(self, key: str, target: str) -> None:  # noqa: ARG002  # the port
        """Refuse."""
        _refuse()

    def delete(self, key: str) -> None:  # noqa: ARG002  # the port
        """Refuse."""
        _refuse()

    def delete_prefix(self, prefix: str) -> None:  # noqa: ARG002  # the port
        """Refuse."""
        _refuse()

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """Yield the keys below a prefix."""
        return self._store.keys(prefix, after)


def _refuse() -> NoReturn:
    raise LeaderUnavailable("this server does not write to the store; call the one that does")
