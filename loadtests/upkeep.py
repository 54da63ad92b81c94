"""What maintenance of a gallery of N templates of 512 numbers takes, beside what bare loops take in turn.

Run `python loadtests/upkeep.py [N]`: a rebuild of the resident index, a check, and all pairs above 0.4.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from facegrid.domain.calls import Call
from facegrid.domain.columns import TemplateColumns
from facegrid.domain.faces import Floats
from facegrid.domain.galleries import Gallery
from facegrid.domain.labels import NO_LABELS
from facegrid.identity.check import Checked, CheckGallery
from facegrid.identity.duplicates import DuplicatesStep, FindDuplicates
from facegrid.identity.galleries import Galleries
from facegrid.identity.projection import Projection
from facegrid.identity.rebuild import RebuildIndex
from facegrid.identity.writes import Writes
from facegrid.storage.indexes.resident import ResidentIndex
from facegrid.storage.objects.files import LocalObjectStore
from facegrid.storage.records.records import StoredRecords
from segments import make_gallery, write
from templates import CHUNK, TemplateSource

DIMENSION, THRESHOLD = 512, 0.4
_TILE = 1024, 8192
_ROUNDS = 3


async def measure(folder: Path, count: int) -> None:
    """Fill a gallery and print what each job takes."""
    store, gallery = LocalObjectStore(folder), make_gallery(DIMENSION)
    records, index, writes = StoredRecords(store, 4), ResidentIndex(2), Writes(4)
    projection = Projection(records, index)
    galleries = Galleries(records, projection, None, writes)  # type: ignore[arg-type]  # no pack is asked for
    await records.create_gallery(gallery, Call("CreateGallery", "bench"))
    columns = synthetic(count)
    await write(store, gallery, iter([columns]))
    start = time.perf_counter()
    await projection.fill(gallery)
    report("fill at start, templates/s", count / (time.perf_counter() - start))
    rates = []
    for _ in range(_ROUNDS):
        *_, rebuilt = [step async for step in RebuildIndex(galleries, projection)(gallery.name)]
        rates.append(rebuilt.templates / rebuilt.seconds)
    report("rebuild, templates/s (median)", statistics.median(rates))
    *_, checked = [
        step
        async for step in CheckGallery(galleries, records, projection, writes)(gallery.name, repair=False)
    ]
    report("check, templates/s", count / checked.seconds if isinstance(checked, Checked) else 0)
    with ThreadPoolExecutor(1) as thread:
        find = FindDuplicates(galleries, records, projection, thread, by_search=False)
        await _duplicates(find, gallery, columns.vectors)
    records.close()
    index.close()


def synthetic(count: int) -> TemplateColumns:
    """Return templates like real ones, one a subject."""
    source = TemplateSource(DIMENSION, 1)
    vectors = np.concatenate([source.chunk(number) for number in range(-(-count // CHUNK))])[:count]
    ones = np.ones(count)
    subject_ids = [f"person-{number}" for number in range(count)]
    return TemplateColumns(
        subject_ids, [NO_LABELS] * count, ones.astype(np.int64), vectors, ones.astype(np.float32)
    )


async def _duplicates(find: FindDuplicates, gallery: Gallery, vectors: Floats) -> None:
    ours, bare = [], []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        pairs = await _pairs(find(gallery.name, THRESHOLD))
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        report("pairs, and those of the bare loop", pairs, bare_pairs(vectors))
        bare.append(time.perf_counter() - start)
    report("duplicates, s", statistics.median(ours))
    report("bare numpy in blocks, s", statistics.median(bare))
    report("ratio", statistics.median(ours) / statistics.median(bare))


async def _pairs(steps: AsyncIterator[object]) -> int:
    return sum([len(step.pairs) async for step in steps if isinstance(step, DuplicatesStep)])


def bare_pairs(vectors: Floats) -> int:
    """Count the pairs that reach the threshold, in float32, with no regard to anything else."""
    found = 0
    for top in range(0, len(vectors), _TILE[0]):
        for left in range(top, len(vectors), _TILE[1]):
            products = vectors[top : top + _TILE[0]] @ vectors[left : left + _TILE[1]].T
            rows, columns = np.nonzero(products >= THRESHOLD)
            found += int((columns + left > rows + top).sum())
    return found


def report(name: str, *values: float) -> None:
    """Print one line."""
    print(f"{name:40}", *(f"{value:14,.2f}" for value in values))


def main() -> None:
    """Measure in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("templates", type=int, nargs="?", default=100_000)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), parser.parse_args().templates))


if __name__ == "__main__":
    main()
