"""JSON forms of objects. Each states its schema version; what does not parse is never passed over."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from facegrid.storage.objects.store import NewerObject, ObjectStore, UnreadableObject

_SCHEMA_VERSION = 1
_LARGEST_OBJECT = 64 * 1024 * 1024
T = TypeVar("T")
Form = Mapping[str, Any]


def to_json(form: Form) -> bytes:
    """Return a record's bytes, its schema version among them."""
    return json.dumps({"schema_version": _SCHEMA_VERSION, **form}).encode()


def read(store: ObjectStore, key: str, parse: Callable[[Form], T]) -> T:
    """Read and parse one record. Raises ObjectMissing, UnreadableObject and NewerObject."""
    return decode(key, store.get(key), parse)


def read_as_is(store: ObjectStore, key: str, most: int = _LARGEST_OBJECT) -> bytes:
    """Read an object, damaged or not, of that many bytes at most. Raises ObjectMissing."""
    try:
        return store.get(key)
    except UnreadableObject:  # a store that checks what it returns
        return store.get_range(key, 0, most)


def decode(key: str, data: bytes, parse: Callable[[Form], T]) -> T:
    """Parse a record that the object of a key holds. Raises UnreadableObject and NewerObject."""
    try:
        form = json.loads(data)
        if form["schema_version"] != _SCHEMA_VERSION:
            raise NewerObject.of(key, form["schema_version"], _SCHEMA_VERSION)
        return parse(form)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UnreadableObject(f"the object {key} is damaged; restore it from a backup") from error
