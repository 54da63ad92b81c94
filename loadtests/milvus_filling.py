"""Rows a second into Milvus: a bare pymilvus upsert loop, our index, and a rebuild from the records, in turn.

Run `python loadtests/milvus_filling.py URI [--templates N] [--dimension D]` on a server that may be filled:
what it makes there it drops. Its collections are loaded and have FLAT indexes, as a gallery's.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from pymilvus import MilvusClient

from facegrid.domain.galleries import Gallery, IndexRows
from facegrid.identity.projection import Projection
from facegrid.storage.indexes.milvus import MilvusIndex
from facegrid.storage.indexes.milvus_schema import make_index, make_schema
from facegrid.storage.objects.files import LocalObjectStore
from facegrid.storage.records.records import StoredRecords
from segments import batches, make_gallery, write

_ROUNDS, _ROWS_A_CALL, _TIMEOUT_S = 5, 5_000, 60


def main() -> None:
    """Print the medians, and those of the ratios to the bare loop of the same round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri")
    parser.add_argument("--templates", type=int, default=50_000)
    parser.add_argument("--dimension", type=int, default=512)
    options = parser.parse_args()
    gallery = make_gallery(options.dimension)
    with tempfile.TemporaryDirectory() as folder, closing(MilvusIndex(options.uri)) as index:
        store = LocalObjectStore(Path(folder))
        rows = batches(options.templates, options.dimension)
        asyncio.run(write(store, gallery, rows))
        rates = asyncio.run(measure(options.uri, index, store, gallery))
    for name, values in rates.items():
        ratio = statistics.median(one / bare for one, bare in zip(values, rates["bare"], strict=True))
        print(f"{name:<8}{statistics.median(values):10,.0f} rows/s{ratio:8.2f}")


async def measure(
    uri: str, index: MilvusIndex, store: LocalObjectStore, gallery: Gallery
) -> dict[str, list[float]]:
    """Return the rows a second of each round."""
    with closing(StoredRecords(store, workers=8)) as records:
        read = [rows async for rows, _ in records.rows(gallery)]
        count = sum(map(len, read))
        ways: dict[str, Callable[[], Coroutine[Any, Any, float]]] = {
            "bare": lambda: asyncio.to_thread(bare, uri, read),
            "index": lambda: add(index, gallery, read),
            "rebuild": lambda: rebuild(index, gallery, records),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(_ROUNDS):
            for name, way in ways.items():
                rates[name].append(count / await way())
        return rates


def bare(uri: str, batches: list[IndexRows]) -> float:
    """Return the seconds of pymilvus alone, which gets the rows as it wants them."""
    client, name = MilvusClient(uri, dedicated=True), f"bare_{uuid4().hex}"
    client.create_collection(name, schema=make_schema(batches[0].vectors.shape[1]))
    client.create_index(name, make_index(client, exact=True))
    client.load_collection(name)
    data = [
        {
            "key": key,
            "subject_id": rows.subject_ids[row],
            "encounter_id": rows.encounter_ids[row],
            "sample": rows.samples[row],
            "labels": {},
            "vector": rows.vectors[row],
        }
        for rows in batches
        for row, key in enumerate(rows.keys)
    ]
    start = time.perf_counter()
    for first in range(0, len(data), _ROWS_A_CALL):
        client.upsert(name, data[first : first + _ROWS_A_CALL], timeout=_TIMEOUT_S)
    seconds = time.perf_counter() - start
    client.drop_collection(name)
    client.close()
    return seconds


async def add(index: MilvusIndex, gallery: Gallery, batches: list[IndexRows]) -> float:
    """Return the seconds that the index takes for rows in memory."""
    name = uuid4().hex
    await index.open(name, gallery.template_version, gallery.dimension)
    start = time.perf_counter()
    for rows in batches:
        await index.add(name, rows)
    seconds = time.perf_counter() - start
    await index.drop(name)
    return seconds


async def rebuild(index: MilvusIndex, gallery: Gallery, records: StoredRecords) -> float:
    """Return the seconds from a gallery without an index to one that can be searched."""
    projection = Projection(records, index)
    start = time.perf_counter()
    await projection.fill(gallery)
    found = await projection.search(gallery, np.eye(1, gallery.dimension, dtype=np.float32), 1)
    seconds = time.perf_counter() - start
    if not found[0]:
        raise RuntimeError("the index was not filled")
    await index.drop(gallery.gallery_id)
    return seconds


if __name__ == "__main__":
    main()
