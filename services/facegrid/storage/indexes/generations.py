"""Collections of one gallery beside each other in Milvus, of which its alias names the one in service."""

from typing import Any

import numpy as np

from facegrid.domain.galleries import IndexEntry, checksum

_TIMEOUT_S = 30.0
_ROWS_A_PAGE = 1_000
_FIELDS = ["key", "subject_id", "encounter_id", "sample", "vector"]


def in_service(client: Any, alias: str, collection: str) -> str:
    """Return the collection that an alias names where it is a generation of this one, else this one."""
    named = ""
    if client.has_collection(alias, timeout=_TIMEOUT_S):
        named = client.describe_alias(alias, timeout=_TIMEOUT_S)["collection_name"]
    return str(named) if named.startswith(collection) else collection


def point_alias(client: Any, alias: str, collection: str) -> None:
    """Let an alias name a collection, in one step where it named another."""
    point = client.alter_alias if client.has_collection(alias, timeout=_TIMEOUT_S) else client.create_alias
    point(collection, alias, timeout=_TIMEOUT_S)


def drop_leftovers(client: Any, kept: set[str], generations: str) -> None:
    """Remove all generations of a collection save some."""
    for collection in client.list_collections(timeout=_TIMEOUT_S):
        if collection.startswith(generations) and collection not in kept:
            client.drop_collection(collection, timeout=_TIMEOUT_S)


def drop_all(client: Any, alias: str) -> None:
    """Remove an alias with all collections of its gallery, or the one collection of this name."""
    collections = client.list_collections(timeout=_TIMEOUT_S)
    if alias not in collections and client.has_collection(alias, timeout=_TIMEOUT_S):
        client.drop_alias(alias, timeout=_TIMEOUT_S)
    for collection in collections:
        if collection == alias or collection.startswith(f"{alias}_"):
            client.drop_collection(collection, timeout=_TIMEOUT_S)


def entries(client: Any, collection: str, condition: str, last: str) -> list[IndexEntry]:
    """Return a page of rows, those with keys after `last`, that meet a condition; "" is met by all."""
    page = key_page(client, collection, condition, last, fields=_FIELDS, limit=_ROWS_A_PAGE)
    return [
        IndexEntry(
            row["subject_id"],
            row["encounter_id"],
            row["sample"],
            checksum(np.asarray(row["vector"], np.float32)),
        )
        for row in page
    ]


def key_page(
    client: Any, collection: str, condition: str, last: str, *, fields: list[str], limit: int
) -> list[dict[str, Any]]:
    """Return the rows with the next keys after `last`, in their order."""
    if not last:
        # A paged query takes no consistency level: this one waits until every write is to be seen.
        client.query(collection, filter='key == ""', limit=1, consistency_level="Strong", timeout=_TIMEOUT_S)
    after = f'key > "{last}"'
    found: list[dict[str, Any]] = client.query(
        collection,
        filter=f"{after} and {condition}" if condition else after,
        output_fields=fields,
        limit=limit,
        iterator="True",  # in the order of the keys
        reduce_stop_for_best="True",  # and none left out between two segments
        timeout=_TIMEOUT_S,
    )
    return found
