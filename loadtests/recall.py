"""What an approximate gallery in Milvus misses, and in what time, at each number of lists that are read.

Run as `python loadtests/recall.py 10000 100000 [--milvus URL]`; without the URL it starts Milvus 2.3.5. Every
subject has one template. Probes are held-out mates from the generator of templates.py, which no index holds;
exact search over all templates says which of them can be found. Beside them stand the probes that `facegrid
gallery audit` makes of the stored templates alone, and pymilvus without a service around it, in turn.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from pymilvus import MilvusClient
from rich.console import Console
from rich.progress import track
from rich.table import Table

from facegrid.client import Client
from facegrid.domain.intervals import interval
from facegrid.v1 import types_pb2 as pb
from facegrid.v1.identity_service_pb2 import IdentifyRequest
from facegrid.v1.identity_service_pb2_grpc import IdentityServiceStub
from gallery_server import DIMENSION, GALLERY
from log_chart import draw_chart
from recall_server import THRESHOLD, Audit, Effort, serve
from templates import CHUNK, Templates, TemplateSource

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from milvus_server import milvus_programs, running_milvus  # the tests' own, by the path above

_TOP = 10
_TIMED = 300
_BOUND = 0.001


@dataclass(frozen=True, slots=True)
class Measured:
    """One number of lists: mates that exact search finds and those missed, also the audit's; times in ms."""

    nprobe: int
    sought: int
    missed: int
    audit_sought: int
    audit_missed: int
    ours: list[float]
    bare: list[float]

    @property
    def rate(self) -> float:
        """The share that is missed."""
        return self.missed / self.sought


def main() -> None:
    """Measure galleries of some sizes, print the tables, draw the chart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("templates", type=int, nargs="+")
    parser.add_argument("--probes", type=int, default=3_000)
    parser.add_argument("--lists", type=int, nargs="+", default=[2**power for power in range(11)])
    parser.add_argument("--milvus", default="")
    parser.add_argument("--chart", type=Path, default=Path("recall.png"))
    options = parser.parse_args()
    lines, marked = {}, []
    with ExitStack() as stack:
        uri = options.milvus or stack.enter_context(running_milvus(milvus_programs())).uri
        for templates in options.templates:
            measured = measure(uri, templates, options.probes, options.lists)
            print_table(templates, measured)
            line = [_point(one) for one in measured]
            lines[f"{templates:,} subjects of one template"] = line
            kept = [point for one, point in zip(measured, line, strict=True) if one.rate <= _BOUND]
            marked += kept[:1]
    draw_chart(options.chart, "p50 of Identify through gRPC, ms", "share of mates missed", lines, marked)


def _point(one: Measured) -> tuple[float, float]:
    """Return time and rate; none missed stands at half a miss, for there is no zero on the axis."""
    return statistics.median(one.ours), max(one.missed, 0.5) / one.sought


def measure(uri: str, templates: int, count: int, lists: list[int]) -> list[Measured]:
    """Fill a server's gallery and search it with each number of lists."""
    source = TemplateSource(DIMENSION, per_subject=1)
    mates, probes = held_out(source, templates, count)
    found = exactly_found(source, templates, mates, probes)
    with tempfile.TemporaryDirectory() as folder, _server(Path(folder), uri, templates) as (gallery, pipe):
        bare = Bare(uri, gallery)
        with Client(f"unix:{folder}/socket") as client:
            search = Searches(client)
            pairs = list(zip(mates[found].tolist(), probes[found], strict=True))
            return [_measure_one(nprobe, search, bare, pipe, pairs) for nprobe in lists]


def _measure_one(
    nprobe: int, search: "Searches", bare: "Bare", pipe: Connection, probes: list[tuple[int, Templates]]
) -> Measured:
    pipe.send(Effort(nprobe))
    pipe.recv()
    missed, ours, theirs = 0, [], []
    for number, (mate, probe) in enumerate(track(probes, f"nprobe {nprobe}", transient=True)):
        start = time.perf_counter()
        missed += str(mate) not in search.subjects(probe)
        middle = time.perf_counter()
        if number < _TIMED:
            bare.search(probe, nprobe)
            ours.append(1000 * (middle - start))
            theirs.append(1000 * (time.perf_counter() - middle))
    pipe.send(Audit(len(probes)))
    audit_sought, audit_missed = pipe.recv()
    return Measured(nprobe, len(probes), missed, audit_sought, audit_missed, ours, theirs)


class Searches:
    """Identify by template through gRPC."""

    def __init__(self, client: Client) -> None:
        """Take a client of the server."""
        self._version = client.get_gallery(GALLERY).template_version
        self._stub: IdentityServiceStub = client._identities  # noqa: SLF001  # templates are not in the plain client

    def subjects(self, probe: Templates) -> set[str]:
        """Return the candidates at or above the threshold."""
        template = pb.Template(template_version=self._version, vector=probe.astype("<f4").tobytes())
        request = IdentifyRequest(gallery=GALLERY, probes=[pb.Sample(template=template)], top=_TOP)
        return {one.subject_id for one in self._stub.Identify(request).results[0].candidates}


class Bare:
    """pymilvus alone, on the same collection."""

    def __init__(self, uri: str, gallery: str) -> None:
        """Take the server and the gallery's id."""
        self._client: Any = MilvusClient(uri)
        self._alias = f"facegrid_{gallery}"

    def search(self, probe: Templates, nprobe: int) -> None:
        """Return ten rows, ranked by their 8-bit codes."""
        self._client.search(
            self._alias,
            data=[probe],
            anns_field="vector",
            limit=_TOP,
            output_fields=["subject_id"],
            search_params={"metric_type": "IP", "params": {"nprobe": nprobe}},
            consistency_level="Bounded",
        )


def held_out(source: TemplateSource, templates: int, count: int) -> tuple[np.ndarray, Templates]:
    """Return the numbers of subjects from all over the gallery, and a new template of each."""
    chunks = templates // CHUNK
    each = min(-(-count // chunks), CHUNK)
    numbers = [CHUNK * chunk + np.arange(each) for chunk in range(chunks)]
    return np.concatenate(numbers), np.concatenate([source.mates(chunk, each) for chunk in range(chunks)])


def exactly_found(source: TemplateSource, templates: int, mates: np.ndarray, probes: Templates) -> np.ndarray:
    """Say of which probes the mate is among the ten best of all templates, at or above the threshold."""
    better, own = np.zeros(len(probes), int), np.empty(len(probes), np.float32)
    for chunk in range(templates // CHUNK):
        here = mates // CHUNK == chunk
        own[here] = (source.chunk(chunk)[mates[here] % CHUNK] * probes[here]).sum(axis=1)
    for chunk in range(templates // CHUNK):
        scores = probes @ source.chunk(chunk).T
        here = np.flatnonzero(mates // CHUNK == chunk)
        scores[here, mates[here] % CHUNK] = -1
        better += (scores > own[:, None]).sum(axis=1)
    return (better < _TOP) & (own >= THRESHOLD)


@contextmanager
def _server(folder: Path, uri: str, templates: int) -> Iterator[tuple[str, Connection]]:
    """Run a server; yield the id of its gallery and the pipe to it."""
    context = get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=serve, args=(folder, uri, templates, its))
    process.start()
    its.close()
    try:
        yield ours.recv(), ours
    finally:
        ours.send(None)
        process.join()


def print_table(templates: int, measured: list[Measured]) -> None:
    """Print a row for each number of lists; the first that keeps the bound is marked."""
    table = Table(
        "nprobe",
        "missed of mates",
        "95 %",
        "missed of audit's probes",
        "Identify p50 / p99 ms",
        "pymilvus",
        "ratio",
        title=f"{templates:,} × {DIMENSION}, one template a subject",
    )
    kept = next((one.nprobe for one in measured if one.rate <= _BOUND), 0)
    for one in measured:
        low, high = interval(one.missed, one.sought)
        table.add_row(
            f"{one.nprobe}{' ◄' if one.nprobe == kept else ''}",
            f"{one.missed}/{one.sought} = {100 * one.rate:.2f} %",
            f"{100 * low:.2f} to {100 * high:.2f}",
            f"{one.audit_missed}/{one.audit_sought} = {100 * one.audit_missed / one.audit_sought:.2f} %",
            _p50_p99(one.ours),
            _p50_p99(one.bare),
            f"{statistics.median(a / b for a, b in zip(one.ours, one.bare, strict=True)):.2f}",
        )
    Console(width=150).print(table)


def _p50_p99(times: list[float]) -> str:
    return f"{statistics.median(times):.1f} / {statistics.quantiles(times, n=100)[98]:.1f}"


if __name__ == "__main__":
    main()
