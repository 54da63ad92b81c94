"""What segments cost and give: a gallery of N templates is written, opened and read.

Run `python loadtests/segments.py [--templates N] [--dimension D]`; reading is timed in turn with pyarrow's own.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from facegrid.domain.calls import Call
from facegrid.domain.galleries import Gallery
from facegrid.domain.packs import Threshold, Thresholds, ThresholdSource
from facegrid.storage.bulk import Columns
from facegrid.storage.files import LocalObjectStore
from facegrid.storage.records import StoredRecords

_BATCH, _ROUNDS, _SUBJECTS = 32_768, 3, 200


async def main() -> None:
    """Write, read, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--templates", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=512)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        gallery = replace(make_gallery(), dimension=options.dimension)
        writer = StoredRecords(LocalObjectStore(Path(folder)), workers=8)
        start = time.perf_counter()
        await writer.import_templates(
            gallery, Call("Import", "bench"), 1, batches(options.templates, options.dimension)
        )
        report("write, templates/s", options.templates / (time.perf_counter() - start))
        writer.close()
        files = list(Path(folder).rglob("*.parquet"))
        report("disk, bytes a template", sum(file.stat().st_size for file in files) / options.templates)
        await measure(folder, gallery, files, options.templates)


async def measure(folder: str, gallery: Gallery, files: list[Path], templates: int) -> None:
    """Open the gallery anew and read it in the ways that servers do."""
    records, before, start = (
        StoredRecords(LocalObjectStore(Path(folder)), workers=8),
        memory(),
        time.perf_counter(),
    )
    await records.last_revision(gallery)
    report("open, s", time.perf_counter() - start)
    report("lookup in memory, MB", memory() - before)
    ours, bare = [], []
    for _ in range(_ROUNDS):
        ours.append(templates / await timed(read_rows(records, gallery)))
        bare.append(templates / await timed(read_bare(files)))
    report("index rows, templates/s", statistics.median(ours))
    report("bare pyarrow, templates/s", statistics.median(bare))
    report("ours to bare", statistics.median(one / other for one, other in zip(ours, bare, strict=True)))
    singles = []
    for number in np.random.default_rng(1).integers(0, templates, _SUBJECTS):
        start = time.perf_counter()
        assert await records.subject(gallery, f"person-{number}")  # noqa: S101  # a bench that reads nothing lies
        singles.append(1000 * (time.perf_counter() - start))
    report("one subject, ms (median)", statistics.median(singles))
    report("one subject, ms (p95)", statistics.quantiles(singles, n=20)[-1])
    start = time.perf_counter()
    await records.subjects(gallery, "", 1000)
    report("page of 1000 subjects, ms", 1000 * (time.perf_counter() - start))
    records.close()


async def read_rows(records: StoredRecords, gallery: Gallery) -> AsyncIterator[int]:
    """Read what an index is filled with."""
    async for rows, _ in records.rows(gallery):
        yield len(rows.vectors)


async def read_bare(files: list[Path]) -> AsyncIterator[int]:
    """Read the same columns with pyarrow alone."""
    for file in files:
        yield len(pq.ParquetFile(file).read(["id", "subject_id", "revision", "vectors"], use_threads=False))


async def timed(reading: AsyncIterator[int]) -> float:
    """Return the seconds that it takes to read all."""
    start = time.perf_counter()
    async for _ in reading:
        pass
    return time.perf_counter() - start


def batches(templates: int, dimension: int) -> Iterator[Columns]:
    """Yield random templates, one a subject."""
    random = np.random.default_rng(0)
    for start in range(0, templates, _BATCH):
        numbers = range(start, min(start + _BATCH, templates))
        vectors = random.standard_normal((len(numbers), dimension), dtype=np.float32)
        norms = np.linalg.norm(vectors, axis=1)
        yield Columns([f"person-{number}" for number in numbers], vectors / norms[:, None], norms)


def make_gallery() -> Gallery:
    """Return a gallery that no name leads to."""
    threshold = Threshold(0.5, ThresholdSource.PACK_DEFAULT)
    return Gallery(
        "bench",
        "b" * 32,
        "bench",
        "bench-1",
        512,
        Thresholds(threshold, threshold),
        False,
        datetime.now(UTC),
        b"key",
    )


def memory() -> float:
    """Return the megabytes that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def report(what: str, value: float) -> None:
    """Print a line of the table."""
    print(f"{what:<28}{value:12,.1f}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
