"""A gallery's collection in Milvus, behind an alias."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from facegrid.domain.errors import ConfigurationError, InvalidField
from facegrid.domain.faces import Floats
from facegrid.domain.galleries import IndexEntry, IndexRows, checksum
from facegrid.domain.labels import labels_checksum
from facegrid.domain.matching import Hit
from facegrid.domain.names import check_name
from facegrid.storage.indexes.expressions import labels_of
from facegrid.storage.indexes.milvus_connection import MilvusOptions
from facegrid.storage.indexes.milvus_schema import (
    check_collection,
    check_vector_index,
    make_index,
    make_schema,
    upsert_request,
)
from facegrid.storage.indexes.milvus_search import MilvusSearch

_LOADING_S = 600.0
_MOST_HITS = 16_384  # Milvus's own limit of one search
_KEYS_A_CALL, _ENTRIES_A_CALL, _ENCOUNTERS_A_CALL = 5_000, 1_000, 1_000
_REFETCHED, _LEAST_FETCHED = 2, 64
_OTHER_REPLICAS = 1100  # code of an invalid parameter: here the number of replicas


class MilvusCollection:
    """What is asked of Milvus for one gallery; each method blocks, and lets pymilvus' errors through."""

    def __init__(self, client: Any, alias: str, options: MilvusOptions) -> None:
        """Take a client and the alias of the collection in use."""
        self._client, self._alias, self._options = client, alias, options
        self._timeout_s = options.timeout_s

    def open(self, name: str, dimension: int, *, exact: bool, ours: set[str]) -> set[str]:
        """Let the alias lead to a collection, which is made where it is missing; return its rows' keys.

        Of the generations of a collection the one that the alias leads to stays, and ours. Raises
        ConfigurationError, before anything is changed, where it is not as we would make it.
        """
        served = self._served(name)
        self.make(served, dimension, exact=exact)
        self.point(served)
        self.drop_others(name, {served, *ours})
        return self._keys(served)

    def _served(self, name: str) -> str:
        """Return the generation of a collection that the alias leads to; the first where there is none."""
        client, timeout, led_to = self._client, self._timeout_s, ""
        if client.has_collection(self._alias, timeout=timeout):
            led_to = client.describe_alias(self._alias, timeout=timeout)["collection_name"]
        return led_to if led_to.startswith(name) else name

    def make(self, name: str, dimension: int, *, exact: bool) -> None:
        """Make a collection ready for searches. Raises ConfigurationError where it is unlike ours."""
        client, timeout = self._client, self._timeout_s
        if client.has_collection(name, timeout=timeout):
            check_collection(client.describe_collection(name, timeout=timeout), dimension)
        else:
            schema, shards = make_schema(dimension), self._options.shards
            client.create_collection(name, schema=schema, num_shards=shards, timeout=timeout)
        if client.list_indexes(name, timeout=timeout):
            described = client.describe_index(name, "vector", timeout=timeout)
            check_vector_index(name, described, exact=exact)
        else:
            client.create_index(name, make_index(client, exact=exact), timeout=timeout)
        self._load(name)

    def point(self, name: str) -> None:
        """Let the alias lead to a collection, in one step."""
        there = self._client.has_collection(self._alias, timeout=self._timeout_s)
        point = self._client.alter_alias if there else self._client.create_alias
        point(name, self._alias, timeout=self._timeout_s)

    def drop_others(self, name: str, kept: set[str]) -> None:
        """Remove the generations of a collection, save some."""
        for collection in self._client.list_collections(timeout=self._timeout_s):
            if collection.startswith(name) and collection not in kept:
                self._client.drop_collection(collection, timeout=self._timeout_s)

    def _load(self, name: str) -> None:
        from pymilvus.exceptions import MilvusException  # noqa: PLC0415  takes seconds

        replicas = self._options.replicas
        try:
            try:
                self._client.load_collection(name, replica_number=replicas, timeout=_LOADING_S)
            except MilvusException as error:
                if error.code != _OTHER_REPLICAS:
                    raise
                self._client.release_collection(name, timeout=self._timeout_s)
                self._client.load_collection(name, replica_number=replicas, timeout=_LOADING_S)
        except MilvusException as error:
            if replicas > 1 and "nodes not enough" in str(error):
                raise ConfigurationError(
                    f"Milvus has not the query nodes for {replicas} replicas; add some, or lower "
                    "FACEGRID_MILVUS_REPLICAS"
                ) from error
            raise

    def _keys(self, name: str) -> set[str]:
        keys: set[str] = set()
        last = ""
        while page := self._page(name, "", last, fields=["key"], limit=_KEYS_A_CALL):
            keys.update(row["key"] for row in page)
            last = page[-1]["key"]
        return keys

    def place(self, name: str) -> str:
        """Return what names this very collection; empty where it is another than `name`, or not loaded.

        Always empty in Milvus Lite, which numbers no collections.
        """
        if not self._client.has_collection(self._alias, timeout=self._timeout_s):
            return ""
        found = self._client.describe_collection(self._alias, timeout=self._timeout_s)
        loaded = self._client.get_load_state(self._alias, timeout=self._timeout_s)["state"].name == "Loaded"
        if not (loaded and _is_of(found["collection_name"], name) and found["collection_id"]):
            return ""
        return f"{found['collection_name']}/{found['collection_id']}"

    def count(self) -> int:
        """Return the number of rows, all that was acknowledged included."""
        (row,) = self._client.query(
            self._alias,
            filter="",
            output_fields=["count(*)"],
            consistency_level="Strong",
            timeout=self._timeout_s,
        )
        return int(row["count(*)"])

    def entries(self, condition: str, last: str) -> list[IndexEntry]:
        """Return the next rows that meet a condition, "" being met by all, in the order of their keys."""
        fields = ["key", "subject_id", "encounter_id", "sample", "vector", "labels"]
        page = self._page(self._alias, condition, last, fields=fields, limit=_ENTRIES_A_CALL)
        return [
            IndexEntry(
                row["subject_id"],
                row["encounter_id"],
                row["sample"],
                checksum(np.asarray(row["vector"], np.float32)),
                labels_checksum(labels_of(row["labels"])),
            )
            for row in page
        ]

    def _page(
        self, name: str, condition: str, last: str, *, fields: list[str], limit: int
    ) -> list[dict[str, Any]]:
        """Return the rows with the next keys after `last`."""
        client, timeout = self._client, self._timeout_s
        if not last:
            # A paged query takes no consistency level: this one waits until every write is to be seen.
            client.query(name, filter='key == ""', limit=1, consistency_level="Strong", timeout=timeout)
        after = f'key > "{last}"'
        found: list[dict[str, Any]] = client.query(
            name,
            filter=f"{after} and {condition}" if condition else after,
            output_fields=fields,
            limit=limit,
            iterator="True",  # in the order of the keys
            reduce_stop_for_best="True",  # and none left out between two segments
            timeout=timeout,
        )
        return found

    def ping(self) -> None:
        """Do nothing but ask Milvus for an answer."""
        self._client.get_server_version(timeout=self._timeout_s)

    def state(self) -> str:
        """Return the collection's load state, after loading it where somebody released it."""
        state = self._client.get_load_state(self._alias, timeout=self._timeout_s)["state"].name
        if state == "NotLoad":
            self._load(self._alias)
        return "Loaded" if state == "NotLoad" else state

    def upsert(self, rows: IndexRows) -> None:
        """Write rows, no two of which have the same key: Milvus 2.3 would keep both."""
        client, request = self._client, upsert_request(self._alias, rows)
        client._get_connection().upsert(  # noqa: SLF001  # which alone takes a request that is made
            self._alias,
            [],
            upsert_param=request,
            schema={"fields": []},
            timeout=self._timeout_s,
            context=client._generate_call_context(),  # noqa: SLF001  # the database
        )

    def delete(self, encounter_ids: Sequence[str]) -> None:
        """Remove the rows of encounters."""
        for condition in among(encounter_ids):
            self._client.delete(
                self._alias, filter=condition, consistency_level="Strong", timeout=self._timeout_s
            )

    def search(
        self, probes: Floats, limit: int, nprobe: int | None, consistency: str, condition: str = ""
    ) -> list[list[Hit]]:
        """Return the best rows under a condition for each probe.

        Raises InvalidField where more than 16,384 are needed.

        With nprobe more rows are ranked again: an IVF_SQ8 index ranks them by 8-bit vectors.
        """
        fetched = limit if nprobe is None else max(_REFETCHED * limit, _LEAST_FETCHED)
        search = MilvusSearch(probes, min(fetched, _MOST_HITS), nprobe, consistency, condition)
        found = search.answer(self._client, self._alias, self._timeout_s)
        if limit > _MOST_HITS and _MOST_HITS in found.topks:
            raise InvalidField(
                f"the candidates lie beyond the best {_MOST_HITS} samples, the most that the index returns; "
                "ask for fewer",
                field="top",
            )
        return search.hits(found, limit)

    def seal(self) -> None:
        """Let rows grow no more that have no index yet, and are compared one by one."""
        self._client.flush(self._alias, timeout=_LOADING_S)

    def is_built(self) -> bool:
        """Say whether all rows that are sealed have their index, and searches use it."""
        described = self._client.describe_index(self._alias, "vector", timeout=self._timeout_s)
        loaded = self._client.list_loaded_segments(self._alias, timeout=self._timeout_s)
        rows = sum(one.num_rows for one in loaded if one.state.name == "Sealed")
        return not described["pending_index_rows"] and rows >= described["total_rows"]

    def drop(self) -> None:
        """Remove all collections of the gallery and their alias, or the one collection of this name."""
        client, timeout = self._client, self._timeout_s
        collections = client.list_collections(timeout=timeout)
        if self._alias not in collections and client.has_collection(self._alias, timeout=timeout):
            client.drop_alias(self._alias, timeout=timeout)
        for collection in collections:
            if collection == self._alias or collection.startswith(f"{self._alias}_"):
                client.drop_collection(collection, timeout=timeout)


def among(encounter_ids: Sequence[str]) -> Iterator[str]:
    """Yield the conditions that the rows of some encounters meet, one for each thousand."""
    names = [check_name(encounter_id, "encounter_id") for encounter_id in encounter_ids]
    for start in range(0, len(names), _ENCOUNTERS_A_CALL):
        yield f"encounter_id in {json.dumps(names[start : start + _ENCOUNTERS_A_CALL])}"


def _is_of(collection: str, name: str) -> bool:
    """Say whether a collection is the one of a name, or was made anew for it."""
    return collection == name or collection.startswith(f"{name}_")
