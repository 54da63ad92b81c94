"""What segments cost and give: a gallery of N templates is written, opened and read.

Run `python loadtests/segments.py [--templates N] [--dimension D]`; reads take turns with pyarrow's own.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from facegrid.domain.calls import Call
from facegrid.domain.columns import TemplateColumns
from facegrid.domain.galleries import Gallery
from facegrid.domain.labels import NO_LABELS
from facegrid.domain.packs import Threshold, Thresholds, ThresholdSource
from facegrid.storage.objects.files import LocalObjectStore
from facegrid.storage.records.records import StoredRecords
from facegrid.storage.records.subjects import StoredSubjects

_BATCH, _ROUNDS, _SUBJECTS, _PAGE = 512, 3, 200, 1000
_BARE = {"columns": ["id", "subject_id", "revision", "vectors"], "use_threads": False}


def main() -> None:
    """Write, read, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--templates", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=512)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store, gallery = LocalObjectStore(Path(folder)), make_gallery(options.dimension)
        rows = batches(options.templates, options.dimension)
        wrote = timed(lambda: asyncio.run(write(store, gallery, rows)))
        files = list(Path(folder).rglob("*.parquet"))
        report("write, templates/s", options.templates / wrote)
        report("disk, bytes a template", sum(file.stat().st_size for file in files) / options.templates)
        measure(store, gallery, files, options.templates)


def measure(store: LocalObjectStore, gallery: Gallery, files: list[Path], templates: int) -> None:
    """Open the gallery anew and read it in the ways that servers do."""
    report("open, s", timed(lambda: StoredSubjects(store, gallery)))
    subjects = StoredSubjects(store, gallery)
    found, ours, bare = subjects.segments.view.segments, [], []
    places = sum(one.ids.nbytes + one.sids.nbytes + one._order.nbytes + one.hidden.nbytes for one in found)  # noqa: SLF001
    report("places in memory, MB", places / 1e6)
    for _ in range(_ROUNDS):
        ours.append(templates / timed(lambda: [len(one.index_rows(gallery.dimension)) for one in found]))
        bare.append(templates / timed(lambda: [pq.read_table(one, **_BARE).num_rows for one in files]))
    report("index rows, templates/s", statistics.median(ours))
    report("bare pyarrow, templates/s", statistics.median(bare))
    numbers = np.random.default_rng(1).integers(0, templates, _SUBJECTS)
    folders = [subjects.folder(f"person-{one}") for one in numbers]
    singles = [timed(partial(subjects.describe, one, with_encounters=True)) for one in folders]
    report("one subject, ms (median)", 1000 * statistics.median(singles))
    report("one subject, ms (p95)", 1000 * statistics.quantiles(singles, n=20)[-1])
    paged = timed(
        lambda: [subjects.describe(one, with_encounters=False) for one in islice(subjects.folders(), _PAGE)]
    )
    report(f"page of {_PAGE} subjects, ms", 1000 * paged)


async def write(store: LocalObjectStore, gallery: Gallery, batches: Iterator[TemplateColumns]) -> None:
    """Import templates."""
    records, call = StoredRecords(store, workers=2), Call("ImportTemplates", "bench")
    incoming = await records.begin_import(gallery, call, 1)
    for batch in batches:
        await incoming.add(batch)
    await incoming.publish(call)
    records.close()


def batches(templates: int, dimension: int) -> Iterator[TemplateColumns]:
    """Yield random templates, one a subject."""
    random = np.random.default_rng(0)
    for start in range(0, templates, _BATCH):
        numbers = range(start, min(start + _BATCH, templates))
        vectors = random.standard_normal((len(numbers), dimension), dtype=np.float32)
        norms = np.linalg.norm(vectors, axis=1)
        subjects, once = [f"person-{number}" for number in numbers], np.ones(len(numbers), np.int64)
        yield TemplateColumns(subjects, [NO_LABELS] * len(subjects), once, vectors / norms[:, None], norms)


def make_gallery(dimension: int) -> Gallery:
    """Return a gallery that no name leads to."""
    half = Threshold(0.5, ThresholdSource.PACK_DEFAULT)
    both, now = Thresholds(half, half), datetime.now(UTC)
    return Gallery("g", "b" * 32, "bench", "bench-1", dimension, both, False, now, b"key")


def timed(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def report(what: str, value: float) -> None:
    """Print a line of the table."""
    print(f"{what:<28}{value:12,.1f}", flush=True)


if __name__ == "__main__":
    main()
