"""Whose data a store holds: an object at its root says that it is ours, and of which schema."""

from uuid import uuid4

from facegrid.domain.errors import ConfigurationError
from facegrid.storage.objects.forms import read, to_json
from facegrid.storage.objects.store import ObjectMissing, ObjectStore
from facegrid.storage.records.layout import TENANT

_MARKER = "facegrid.json"


def claim_store(store: ObjectStore, name: str) -> str:
    """Return a store's id; an empty one becomes ours, and gets one.

    Raises ConfigurationError, the store untouched, where it holds other data or that of a newer release, and
    where it does not heed the condition of a write.
    """
    try:
        store_id = _read_id(store)
    except ObjectMissing:
        _check_ours(store, name)
        store.put_if_absent(_MARKER, to_json({"store_id": uuid4().hex}))
        store_id = _read_id(store)
    if store.put_if_absent(_MARKER, store.get(_MARKER)):
        raise ConfigurationError(
            f"{name} overwrites objects in spite of If-None-Match; take a server that has conditional writes"
        )
    return store_id


def _read_id(store: ObjectStore) -> str:
    return read(store, _MARKER, lambda form: str(form["store_id"]))


def _check_ours(store: ObjectStore, name: str) -> None:
    """Refuse what does not begin with our own keys; a folder may hold names that are no keys at all."""
    try:
        first = next(store.keys(""), TENANT)
    except ValueError:
        first = ""
    if not first.startswith(TENANT):
        raise ConfigurationError(
            f"{name} holds data that is not Facegrid's; name an empty folder, bucket or prefix"
        )
