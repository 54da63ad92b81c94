"""Identify through gRPC in exact galleries in Milvus, beside pymilvus alone there, and Milvus Lite.

Run with `make bench-gallery-milvus N=100000`, or `python loadtests/gallery_in_milvus.py N...`; it starts
Milvus 2.3.5. All hold the templates of templates.py; every probe goes to all of them in turn, and ratios
are medians of such neighbours. Bare rows are upserted as Milvus wants them, FLAT, from this process.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pymilvus import MilvusClient
from rich.console import Console
from rich.table import Table

from facegrid.storage.indexes.milvus_schema import make_index, make_schema
from gallery_server import DIMENSION, GALLERY, Filling, filled_server
from searches import Searches, memory_gb, p50_p99, probes_for, ratio, timed
from templates import CHUNK, Templates, TemplateSource

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from milvus_server import milvus_programs, running_milvus  # the tests' own, by the path above

_ROWS_A_CALL, _WARMING_UP, _TOP = 5_000, 5, 10
_LITE_MOST = 100_000  # beyond that Milvus Lite is for nobody
_NAME = "bare"
_OURS, _SERVER, _LITE = "ours", "server", "lite"


class Bare:
    """pymilvus alone, on a server or on Milvus Lite."""

    def __init__(self, uri: str, source: TemplateSource, templates: int) -> None:
        """Fill a collection."""
        self._client: Any = MilvusClient(uri)
        index = make_index(self._client, exact=True)
        self._client.create_collection(_NAME, schema=make_schema(DIMENSION), index_params=index)
        self._client.load_collection(_NAME)
        seconds = 0.0
        for first in range(0, templates, CHUNK):
            rows = _rows(first, source.chunk(first // CHUNK)[: templates - first])
            start = time.perf_counter()
            for part in range(0, len(rows), _ROWS_A_CALL):
                self._client.upsert(_NAME, rows[part : part + _ROWS_A_CALL])
            seconds += time.perf_counter() - start
        self.rows_a_second = templates / seconds
        self.search(source.strangers(1)[0])

    def search(self, probe: Templates) -> tuple[int, float]:
        """Return the number of the best row and its score."""
        (hits,) = self._client.search(
            _NAME, [probe], anns_field="vector", limit=_TOP, output_fields=["subject_id"]
        )
        return int(hits[0]["entity"]["subject_id"]), hits[0]["distance"]


def _rows(first: int, vectors: Templates) -> list[dict[str, Any]]:
    return [
        {
            "key": str(number),
            "subject_id": str(number),
            "encounter_id": str(number),
            "sample": 0,
            "labels": {},
            "vector": vector,
        }
        for number, vector in enumerate(vectors, first)
    ]


@dataclass(frozen=True, slots=True)
class Measured:
    """One gallery's figures; times in milliseconds, memory in GB."""

    templates: int
    rows_a_second: float
    start_s: float
    memory: float
    milvus_memory: float
    bare_rows_a_second: dict[str, float]
    times: dict[str, list[float]]
    same_first: float
    largest_difference: float


def measure(templates: int, count: int) -> Measured:
    """Fill a gallery, a bare collection on the same server, and Milvus Lite; search them in turn."""
    filling, source = Filling(templates, 1), TemplateSource(DIMENSION, 1)
    probes = probes_for(source, filling, count)
    with tempfile.TemporaryDirectory() as folder, running_milvus(milvus_programs()) as milvus:
        bare = {_SERVER: Bare(milvus.uri, source, templates)}
        if templates <= _LITE_MOST:
            bare[_LITE] = Bare(f"{folder}/lite.db", source, templates)
        with filled_server(Path(folder), filling, milvus=milvus.uri) as server:
            search = Searches(server.client, server.client.get_gallery(GALLERY).template_version)
            answers, times = _in_turn(search, bare, probes)
            return Measured(
                templates,
                templates / server.seconds,
                server.start_s,
                memory_gb(server.pid),
                memory_gb(milvus.process.pid if milvus.process else 0),
                {name: one.rows_a_second for name, one in bare.items()},
                times,
                statistics.mean(ours[0] == theirs[0] for ours, theirs in answers),
                max(abs(ours[1] - theirs[1]) for ours, theirs in answers),
            )


def _in_turn(
    search: Searches, bare: dict[str, Bare], probes: Templates
) -> tuple[list[tuple[tuple[int, float], tuple[int, float]]], dict[str, list[float]]]:
    """Give each probe to everyone; return our answer and the server's for each, and the times of all."""
    times: dict[str, list[float]] = {_OURS: [], **{name: [] for name in bare}}
    answers = []
    for number, probe in enumerate([*probes[:_WARMING_UP], *probes]):
        ours, milliseconds = search.timed(probe)
        found = {name: timed(partial(one.search, probe)) for name, one in bare.items()}
        if number >= _WARMING_UP:
            answers.append((ours, found[_SERVER][0]))
            times[_OURS].append(milliseconds)
            for name, (_, theirs) in found.items():
                times[name].append(theirs)
    return answers, times


def print_table(measured: list[Measured]) -> None:
    """Print a column for each gallery."""
    table = Table("", *(f"{one.templates:,} × {DIMENSION}" for one in measured))
    for name, figure in _FIGURES.items():
        table.add_row(name, *(figure(one) for one in measured))
    Console(width=120).print(table)


def _rate(one: Measured, name: str) -> str:
    return f"{one.bare_rows_a_second[name]:,.0f}" if name in one.bare_rows_a_second else "-"


def _times(one: Measured, name: str) -> str:
    return p50_p99(one.times[name]) if name in one.times else "-"


_FIGURES: dict[str, Callable[[Measured], str]] = {
    "imported, durable and searched, templates/s": lambda one: f"{one.rows_a_second:,.0f}",
    "  upserted into Milvus alone, rows/s": lambda one: _rate(one, _SERVER),
    "  upserted into Milvus Lite alone, rows/s": lambda one: _rate(one, _LITE),
    "start, s": lambda one: f"{one.start_s:.1f}",
    "memory of the server, GB": lambda one: f"{one.memory:.2f}",
    "memory of Milvus, with both collections, GB": lambda one: f"{one.milvus_memory:.2f}",
    "Identify, p50 / p99 ms": lambda one: _times(one, _OURS),
    "Milvus alone": lambda one: _times(one, _SERVER),
    "Milvus Lite alone": lambda one: _times(one, _LITE),
    "Identify / Milvus": lambda one: ratio(one.times[_OURS], one.times[_SERVER]),
    "first candidate is Milvus's": lambda one: f"{100 * one.same_first:.1f} %",
    "its score differs by at most": lambda one: f"{one.largest_difference:.1e}",
}


def main() -> None:
    """Measure each size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("templates", type=int, nargs="+")
    parser.add_argument("--probes", type=int, default=200)
    options = parser.parse_args()
    print_table([measure(templates, options.probes) for templates in sorted(options.templates)])


if __name__ == "__main__":
    main()
