"""The object store that records stand in: what a folder and an S3 bucket can both promise."""

import re
from collections.abc import Iterator
from typing import Protocol, Self

from facegrid.domain.errors import DamagedRecords

_KEY = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*/)*[A-Za-z0-9][A-Za-z0-9._-]*/?")


class ObjectMissing(LookupError):
    """No object has this key."""


class UnreadableObject(DamagedRecords):
    """An object is damaged; the message, for operators, names its key."""

    @classmethod
    def missing(cls, key: object) -> Self:
        """Return the error for an object that has to be there and is not."""
        return cls(f"the object {key} is missing; restore it from a backup")


class NewerObject(DamagedRecords):
    """An object is of a schema that this release does not know; the message, for operators, names its key."""

    @classmethod
    def of(cls, key: str, version: object, known: object) -> Self:
        """Return the error for an object of a version where another one is known."""
        return cls(
            f"the object {key} has schema version {version} and this release reads {known}; run the release "
            "that wrote it"
        )


class ObjectStore(Protocol):
    """Bytes under keys. A key is segments joined by `/`; a prefix ends with `/` or is empty.

    A write is whole and durable when its call returns, and no reader sees part of it. There is no
    conditional delete and no change of several objects in one step, since S3 has neither. Each method
    blocks, may be called from several threads, and raises OSError where the store fails.
    """

    def get(self, key: str) -> bytes:
        """Return an object. Raises ObjectMissing."""
        ...

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return part of an object, less where it ends before. Raises ObjectMissing."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Write an object, over one that is there."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write an object unless one is there; say whether it was written."""
        ...

    def copy(self, key: str, target: str) -> None:
        """Write an object again under another key, over one that is there; each goes by itself.

        The bytes do not pass through this process. Raises ObjectMissing.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        ...

    def delete_prefix(self, prefix: str) -> None:
        """Remove every object below a prefix, in any order; a crash may leave some."""
        ...

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """Yield the keys below a prefix that sort after `after`, lazily, in the order of their characters."""
        ...


def check_key(key: str) -> str:
    """Return a key or prefix unchanged. Raises ValueError where it is not plain segments."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no object key")
    return key
