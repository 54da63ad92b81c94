"""The index in Milvus: Milvus Lite in a folder, or a server or cluster behind a URL."""

import asyncio
import hashlib
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeVar

import structlog

from facegrid.domain.errors import FacegridError, IndexLoading, InvalidField, StoreUnavailable
from facegrid.domain.faces import Floats
from facegrid.domain.galleries import IndexEntry, IndexRows
from facegrid.domain.matching import Hit
from facegrid.domain.names import check_name
from facegrid.domain.templates import round_score
from facegrid.storage.indexes.generations import (
    drop_all,
    drop_leftovers,
    entries,
    in_service,
    key_page,
    point_alias,
)

T = TypeVar("T")
_TIMEOUT_S = 30.0
_MOST_HITS = 16_384  # Milvus's own limit of one search
_ROWS_A_CALL = 1_000
_KEYS_A_CALL = 5_000
_LONGEST_NAME, _LONGEST_KEY = 128, 160
_SETTLING_S = 1.0  # a server shows a write within 0.4 s (measured on 2.3.5), whatever the consistency level


class MilvusIndex:
    """An Index with one collection a gallery and template version, and an alias a gallery.

    The collections have a FLAT index, so a search is exact. One thread does all writing: Milvus Lite loses
    acknowledged rows where two threads write to one collection.
    """

    exact = True

    def __init__(self, uri: str, token: str = "", workers: int = 4) -> None:
        """Take a folder or an URL, a server's token, and the number of searches that may run at a time.

        Nothing is connected before the first call: pymilvus takes seconds to import.
        """
        self._uri, self._token = uri, token
        self._readers = ThreadPoolExecutor(workers, "milvus-read")
        self._writer = ThreadPoolExecutor(1, "milvus-write")
        self._connecting = threading.Lock()
        self._connected: Any = None
        self._last_write: dict[str, float] = {}
        self._log = structlog.get_logger(__name__)

    def close(self) -> None:
        """Wait for what is under way and disconnect."""
        self._readers.shutdown()
        self._writer.shutdown()
        if self._connected:
            self._connected.close()
            _release_lite(self._uri)

    async def open(self, gallery: str, version: str, dimension: int) -> set[str]:
        """Make the collection of a gallery and version ready, and return the keys of its rows.

        Raises StoreUnavailable, as every method does where Milvus fails.
        """
        keys: set[str] = await self._write(
            gallery, _open, _alias(_versioned(gallery, version)), dimension, {*map(_alias, self._last_write)}
        )
        self._last_write[gallery] = time.monotonic()
        return keys

    async def add(self, gallery: str, rows: IndexRows) -> None:
        """Add rows, over those with the same key. Raises IndexLoading where the gallery is not open."""
        self._check_open(gallery)
        await self._write(gallery, _upsert, rows)

    async def remove(self, gallery: str, encounter_ids: Sequence[str]) -> None:
        """Remove the rows of encounters. Raises IndexLoading where the gallery is not open."""
        self._check_open(gallery)
        await self._write(gallery, _delete, encounter_ids)

    async def search(self, gallery: str, probes: Floats, limit: int) -> list[list[Hit]]:
        """Return the best rows for each probe.

        Raises IndexLoading where the gallery is not open, and InvalidField where more than 16,384 are needed.
        """
        self._check_open(gallery)
        settled = time.monotonic() - self._last_write[gallery] > _SETTLING_S
        work = partial(_search, consistency="Bounded" if settled else "Strong")
        return await self._run(self._readers, work, _alias(gallery), probes, limit)

    async def entries(
        self, gallery: str, encounter_ids: Sequence[str] | None = None
    ) -> AsyncIterator[list[IndexEntry]]:
        """Yield what is held of some encounters, or of all, in the order of the keys.

        Raises IndexLoading where the gallery is not open.
        """
        self._check_open(gallery)
        conditions = [""] if encounter_ids is None else [_among(chunk) for chunk in _chunks(encounter_ids)]
        for condition in conditions:
            last = ""
            while page := await self._run(self._readers, entries, _alias(gallery), condition, last):
                yield page
                last = f"{page[-1].encounter_id}/{page[-1].sample}"

    async def begin(self, gallery: str, version: str, dimension: int) -> str:
        """Begin an empty collection beside that which searches ask; its name is unlike that of any other."""
        beside = f"{_versioned(gallery, version)}_{token_hex(4)}"
        await self._run(self._writer, _create, _alias(beside), dimension)
        self._last_write[beside] = time.monotonic()
        return beside

    async def promote(self, gallery: str, beside: str) -> None:
        """Switch a gallery's alias to another collection, which no search waits for, and drop the old one."""
        await self._write(gallery, point_alias, _alias(beside))
        self._last_write[gallery] = self._last_write.pop(beside)
        await asyncio.sleep(_SETTLING_S)  # searches under way end on the old one
        await self._run(self._writer, drop_leftovers, {_alias(beside)}, _alias(beside).rpartition("_")[0])

    async def drop(self, gallery: str) -> None:
        """Remove all collections of a gallery and its alias."""
        self._last_write.pop(gallery, None)
        await self._run(self._writer, drop_all, _alias(gallery))

    def _check_open(self, gallery: str) -> None:
        if gallery not in self._last_write:
            raise IndexLoading("the gallery's index is not open yet; retry in a moment")

    async def _write(self, gallery: str, work: Callable[..., T], *args: object) -> T:
        try:
            return await self._run(self._writer, work, _alias(gallery), *args)
        finally:
            if gallery in self._last_write:
                self._last_write[gallery] = time.monotonic()

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, partial(self._guarded, work, *args))

    def _guarded(self, work: Callable[..., T], *args: object) -> T:
        try:
            return work(self._client(), *args)
        except FacegridError:
            raise
        except Exception as error:  # pymilvus lets grpc's errors through beside its own: no common class
            self._log.warning("index failed", cause=type(error).__name__)
            raise StoreUnavailable("the index does not answer; retry later") from error

    def _client(self) -> Any:
        with self._connecting:
            if self._connected is None:
                self._connected = _connect(self._uri, self._token)
            return self._connected


def _is_folder(uri: str) -> bool:
    return "://" not in uri


def _connect(uri: str, token: str) -> Any:
    from pymilvus import MilvusClient  # noqa: PLC0415  takes seconds

    _log_as_the_process_does()
    if not _is_folder(uri):
        return MilvusClient(uri, token=token, timeout=_TIMEOUT_S)
    Path(uri).mkdir(mode=0o700, parents=True, exist_ok=True)
    return MilvusClient(str(_lite_data(uri)), timeout=_TIMEOUT_S)


def _log_as_the_process_does() -> None:
    library = logging.getLogger("pymilvus")
    library.handlers.clear()
    library.propagate = True
    # Milvus Lite serves from this process and lacks calls; grpc logs each such answer as an error.
    logging.getLogger("grpc._server").setLevel(logging.CRITICAL)


def _lite_data(uri: str) -> Path:
    return Path(uri).absolute() / "lite.db"


def _release_lite(uri: str) -> None:
    """Stop the server in this process that a client of Milvus Lite starts and leaves running."""
    if _is_folder(uri):
        from milvus_lite.server_manager import (  # type: ignore[import-untyped]  # noqa: PLC0415  as pymilvus
            server_manager_instance,
        )

        server_manager_instance.release_server(str(_lite_data(uri)))


def _alias(gallery: str) -> str:
    return f"facegrid_{gallery}"


def _versioned(gallery: str, version: str) -> str:
    """Name an index of a version: these have characters that Milvus does not take in a name."""
    return f"{gallery}_{hashlib.sha256(version.encode()).hexdigest()[:16]}"


def _open(client: Any, alias: str, collection: str, dimension: int, ours: set[str]) -> set[str]:
    served = in_service(client, alias, collection)
    _create(client, served, dimension)
    point_alias(client, alias, served)
    drop_leftovers(client, {served, *ours}, collection)
    return _keys(client, served)


def _create(client: Any, collection: str, dimension: int) -> None:
    if not client.has_collection(collection, timeout=_TIMEOUT_S):
        client.create_collection(collection, schema=_schema(dimension), timeout=_TIMEOUT_S)
    if not client.list_indexes(collection, timeout=_TIMEOUT_S):
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="IP")
        client.create_index(collection, index, timeout=_TIMEOUT_S)
    client.load_collection(collection, timeout=_TIMEOUT_S)


def _schema(dimension: int) -> Any:
    from pymilvus import DataType, MilvusClient  # noqa: PLC0415  takes seconds

    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=_LONGEST_KEY)
    schema.add_field("subject_id", DataType.VARCHAR, max_length=_LONGEST_NAME)
    schema.add_field("encounter_id", DataType.VARCHAR, max_length=_LONGEST_NAME)
    schema.add_field("sample", DataType.INT32)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
    return schema


def _keys(client: Any, collection: str) -> set[str]:
    keys: set[str] = set()
    last = ""
    while page := key_page(client, collection, "", last, fields=["key"], limit=_KEYS_A_CALL):
        keys.update(row["key"] for row in page)
        last = page[-1]["key"]
    return keys


def _upsert(client: Any, alias: str, rows: IndexRows) -> None:
    latest = {key: row for row, key in enumerate(rows.keys)}  # Milvus 2.3 keeps both rows of one call
    data = [
        {
            "key": key,
            "subject_id": rows.subject_ids[row],
            "encounter_id": rows.encounter_ids[row],
            "sample": rows.samples[row],
            "vector": rows.vectors[row],
        }
        for key, row in latest.items()
    ]
    for chunk in _chunks(data):
        client.upsert(alias, chunk, timeout=_TIMEOUT_S)


def _delete(client: Any, alias: str, encounter_ids: Sequence[str]) -> None:
    for chunk in _chunks(encounter_ids):
        client.delete(alias, filter=_among(chunk), consistency_level="Strong", timeout=_TIMEOUT_S)


def _among(encounter_ids: Sequence[str]) -> str:
    return f"encounter_id in {json.dumps([check_name(one, 'encounter_id') for one in encounter_ids])}"


def _search(client: Any, alias: str, probes: Floats, limit: int, *, consistency: str) -> list[list[Hit]]:
    found = client.search(
        alias,
        data=list(probes),
        anns_field="vector",
        limit=min(limit, _MOST_HITS),
        output_fields=["subject_id", "encounter_id", "sample"],
        search_params={"metric_type": "IP"},
        consistency_level=consistency,
        timeout=_TIMEOUT_S,
    )
    if limit > _MOST_HITS and any(len(rows) == _MOST_HITS for rows in found):
        raise InvalidField(
            f"the candidates lie beyond the best {_MOST_HITS} samples, the most that the index returns; "
            "ask for fewer",
            field="top",
        )
    return [[Hit(**row["entity"], score=round_score(row["distance"])) for row in rows] for rows in found]


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _ROWS_A_CALL] for start in range(0, len(items), _ROWS_A_CALL))
