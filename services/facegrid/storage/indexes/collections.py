"""What is asked of a collection of Milvus beside searches."""

from typing import Any

_TIMEOUT_S = 30.0


def place_of(client: Any, alias: str, collection: str) -> str:
    """Return what names the very collection behind an alias; empty where it is another, or not loaded.

    Always empty for Milvus Lite, which numbers no collections.
    """
    if not client.has_collection(alias, timeout=_TIMEOUT_S):
        return ""
    found = client.describe_collection(alias, timeout=_TIMEOUT_S)
    loaded = client.get_load_state(alias, timeout=_TIMEOUT_S)["state"].name == "Loaded"
    if not (loaded and found["collection_name"] == collection and found["collection_id"]):
        return ""
    return f"{collection}/{found['collection_id']}"


def count_of(client: Any, alias: str) -> int:
    """Return the number of rows, all that was acknowledged included."""
    (row,) = client.query(
        alias, filter="", output_fields=["count(*)"], consistency_level="Strong", timeout=_TIMEOUT_S
    )
    return int(row["count(*)"])
