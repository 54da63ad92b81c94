"""Identify through gRPC in galleries of up to a million templates, beside what faiss alone does in turn.

Run with `make bench-gallery N=1000000`, or `python loadtests/gallery.py N...`; several N also draw a chart.
The server is a process of its own, into which the templates of templates.py are imported; it is started again
before the first search.
Faiss' flat and 8-bit indexes hold the same vectors in this process, half in each of two threads. Every probe
goes to all of them one after the other; ratios are medians of such neighbours.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import faiss
import numpy as np
from rich.console import Console
from rich.table import Table

from facegrid.client import Client
from gallery_server import DIMENSION, GALLERY, Filling, filled_server, import_templates
from log_chart import draw_chart
from searches import Searches, memory_gb, p50_p99, probes_for, ratio, timed
from templates import CHUNK, Templates, TemplateSource

T = TypeVar("T")
_CALLERS = 16
_SHARDS = 2
_WARMING_UP = 5
_LONGEST_S = 600
_IMPORTED_MEANWHILE = 50_000


@dataclass(frozen=True, slots=True)
class Measured:
    """One gallery's figures; times in milliseconds, memory in GB."""

    filling: Filling
    rows_a_second: float
    start_s: float
    disk: float
    memory: float
    one: list[float]
    many: list[float]
    many_a_second: float
    while_adding: list[float]
    added_a_second: float
    int8: list[float]
    flat: list[float]
    int8_a_second: float
    same_first: float
    largest_difference: float


def main() -> None:
    """Measure each gallery and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("templates", type=int, nargs="+")
    parser.add_argument("--per-subject", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--probes", type=int, default=200)
    parser.add_argument("--chart", type=Path, default=Path("gallery.png"))
    options = parser.parse_args()
    measured = [
        measure(Filling(templates, per_subject), options.probes)
        for per_subject in options.per_subject
        for templates in options.templates
    ]
    print_table(measured)
    if len(options.templates) > 1:
        first = [one for one in measured if one.filling.per_subject == options.per_subject[0]]
        times = {
            "Identify through gRPC": [one.one for one in first],
            "faiss 8-bit, two shards": [one.int8 for one in first],
            "faiss flat, two shards": [one.flat for one in first],
        }
        sizes = [one.filling.templates for one in first]
        lines = {
            name: list(zip(sizes, map(statistics.median, values), strict=True))
            for name, values in times.items()
        }
        draw_chart(options.chart, "templates in the gallery", "ms", lines)


def measure(filling: Filling, count: int) -> Measured:
    """Fill a server and faiss with the same templates and search both in turn."""
    source = TemplateSource(DIMENSION, filling.per_subject)
    probes = probes_for(source, filling, count)
    with tempfile.TemporaryDirectory() as folder, filled_server(Path(folder), filling) as server:
        memory = memory_gb(server.pid)
        bare = BareFaiss(source, filling.templates)
        search = Searches(server.client, server.client.get_gallery(GALLERY).template_version)
        answers, times = _in_turn(search, bare, probes)
        many, many_a_second = _crowd(search, probes)
        int8_a_second = _bare_rate(bare, probes)
        adding, added_a_second = _while_importing(server.client, search, probes)
    same = [subject == best // filling.per_subject for (subject, _), (best, _) in answers]
    return Measured(
        filling=filling,
        rows_a_second=filling.templates / server.seconds,
        start_s=server.start_s,
        disk=server.disk_bytes / 1e9,
        memory=memory,
        one=times["facegrid"],
        many=many,
        many_a_second=many_a_second,
        while_adding=adding,
        added_a_second=added_a_second,
        int8=times["int8"],
        flat=times["flat"],
        int8_a_second=int8_a_second,
        same_first=statistics.mean(same),
        largest_difference=max(abs(ours - theirs) for (_, ours), (_, theirs) in answers),
    )


class BareFaiss:
    """Faiss alone: IndexFlatIP and the 8-bit ScalarQuantizer, each in two shards with a thread for each."""

    def __init__(self, source: TemplateSource, templates: int) -> None:
        """Fill both; the codes are made as ours are, with 127 steps to six standard deviations."""
        self._step = np.float32(6 / np.sqrt(DIMENSION) / 127)
        self._pool = ThreadPoolExecutor(_SHARDS, "shard", faiss.omp_set_num_threads, (1,))
        kind = faiss.ScalarQuantizer.QT_8bit_direct_signed
        self._flat = [faiss.IndexFlatIP(DIMENSION) for _ in range(_SHARDS)]
        self._int8 = [
            faiss.IndexScalarQuantizer(DIMENSION, kind, faiss.METRIC_INNER_PRODUCT) for _ in range(_SHARDS)
        ]
        self._half = -(-templates // CHUNK // _SHARDS) * CHUNK
        for first in range(0, templates, CHUNK):
            vectors = source.chunk(first // CHUNK)[: templates - first]
            self._flat[first // self._half].add(vectors)
            self._int8[first // self._half].add(np.rint(vectors / self._step).clip(-127, 127))

    def flat(self, probe: Templates) -> tuple[int, float]:
        """Return the best row of float32 and its score."""
        found = list(self._pool.map(lambda shard: shard.search(probe[None], 10), self._flat))
        shard = int(np.argmax([scores[0, 0] for scores, _ in found]))
        return shard * self._half + int(found[shard][1][0, 0]), float(found[shard][0][0, 0])

    def int8(self, probes: Templates) -> None:
        """Scan the codes for the best ten rows of each probe."""
        whole = np.rint(probes * (127 / np.abs(probes).max(axis=1, keepdims=True)))
        list(self._pool.map(lambda shard: shard.search(whole, 10), self._int8))


def _in_turn(
    search: Searches, bare: BareFaiss, probes: Templates
) -> tuple[list[tuple[tuple[int, float], tuple[int, float]]], dict[str, list[float]]]:
    """Give each probe to everyone; return our answer and the exact one for each, and the times of all."""
    times: dict[str, list[float]] = {"facegrid": [], "int8": [], "flat": []}
    answers = []
    for number, probe in enumerate([*probes[:_WARMING_UP], *probes]):
        ours, ours_ms = search.timed(probe)
        _, int8_ms = timed(partial(bare.int8, probe[None]))
        exact, flat_ms = timed(partial(bare.flat, probe))
        if number >= _WARMING_UP:
            answers.append((ours, exact))
            for name, value in (("facegrid", ours_ms), ("int8", int8_ms), ("flat", flat_ms)):
                times[name].append(value)
    return answers, times


def _crowd(search: Searches, probes: Templates) -> tuple[list[float], float]:
    """Search with 16 callers; return the milliseconds of each call, and the searches a second."""
    with ThreadPoolExecutor(_CALLERS) as pool:
        start = time.perf_counter()
        times = [milliseconds for _, milliseconds in pool.map(search.timed, probes)]
        return times, len(probes) / (time.perf_counter() - start)


def _bare_rate(bare: BareFaiss, probes: Templates) -> float:
    """Return the probes a second of the 8-bit scan with 16 probes at a time."""
    start = time.perf_counter()
    for first in range(0, len(probes), _CALLERS):
        bare.int8(probes[first : first + _CALLERS])
    return len(probes) / (time.perf_counter() - start)


def _while_importing(client: Client, search: Searches, probes: Templates) -> tuple[list[float], float]:
    """Search while templates are imported; return the milliseconds of each call, and the rows a second."""
    more = Filling(_IMPORTED_MEANWHILE, 1)
    with ThreadPoolExecutor(1) as importing:
        start = time.perf_counter()
        done = importing.submit(import_templates, client, more, "more")
        times: list[float] = []
        while not done.done():
            times.append(search.timed(probes[len(times) % len(probes)])[1])
        done.result()
    return times, more.templates / (time.perf_counter() - start)


def print_table(measured: list[Measured]) -> None:
    """Print a column for each gallery."""
    table = Table("", *(_title(one.filling) for one in measured))
    for name, figure in _FIGURES.items():
        table.add_row(name, *(figure(one) for one in measured))
    Console(width=200).print(table)


def _title(filling: Filling) -> str:
    return f"{filling.templates:,} × {DIMENSION}, {filling.per_subject} a subject"


_FIGURES: dict[str, Callable[[Measured], str]] = {
    "imported, durable and searched, templates/s": lambda one: f"{one.rows_a_second:,.0f}",
    "start from the disk, s": lambda one: f"{one.start_s:.1f}",
    "disk, GB": lambda one: f"{one.disk:.2f}",
    "memory of the server, at most, GB": lambda one: f"{one.memory:.2f}",
    "Identify, 1 caller, p50 / p99 ms": lambda one: p50_p99(one.one),
    "faiss 8-bit, 2 shards": lambda one: p50_p99(one.int8),
    "faiss flat, 2 shards": lambda one: p50_p99(one.flat),
    "Identify / faiss 8-bit": lambda one: ratio(one.one, one.int8),
    "Identify / faiss flat": lambda one: ratio(one.one, one.flat),
    "Identify, 16 callers, p50 / p99 ms": lambda one: p50_p99(one.many),
    "  searches/s": lambda one: f"{one.many_a_second:.0f}",
    "  faiss 8-bit, 16 probes at a time, probes/s": lambda one: f"{one.int8_a_second:.0f}",
    "Identify while importing, p50 / p99 ms": lambda one: p50_p99(one.while_adding),
    "  / idle": lambda one: f"{statistics.median(one.while_adding) / statistics.median(one.one):.2f}",
    "  imported, templates/s": lambda one: f"{one.added_a_second:,.0f}",
    "first candidate is that of float32": lambda one: f"{100 * one.same_first:.1f} %",
    "its score differs by at most": lambda one: f"{one.largest_difference:.1e}",
}


if __name__ == "__main__":
    main()
