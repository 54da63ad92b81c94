"""What a server counts, for Prometheus: a metric is a line of `Metrics`, or of `_GALLERY_METRICS`.

docs/metrics.md describes them all, and is made of them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from facegrid import __version__
from facegrid.domain.errors import ConfigurationError
from facegrid.identity.searching import SearchReport
from facegrid.identity.watching import WatchedGallery

_Kind = TypeVar("_Kind", Counter, Gauge, Histogram)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)


@dataclass(frozen=True, slots=True)
class Described:
    """A metric as its documentation has it."""

    name: str
    kind: str
    labels: Sequence[str]
    text: str


@dataclass(frozen=True, slots=True)
class _GalleryMetric:
    """A metric of each gallery that can be searched, which goes when the gallery does."""

    described: Described
    value: Callable[[WatchedGallery], float]


def _of_gallery(name: str, kind: str, text: str, value: Callable[[WatchedGallery], float]) -> _GalleryMetric:
    return _GalleryMetric(Described(name, kind, ("gallery",), text), value)


_GALLERY_METRICS = (
    _of_gallery(
        "facegrid_gallery_subjects", "gauge", "Subjects that searches cover.", lambda one: one.subjects
    ),
    _of_gallery(
        "facegrid_gallery_exact",
        "gauge",
        "1 where searches miss nothing, by construction.",
        lambda one: one.exact,
    ),
    _of_gallery(
        "facegrid_search_audited_total",
        "counter",
        "Approximate searches that were compared with exact search.",
        lambda one: one.tally.probes,
    ),
    _of_gallery(
        "facegrid_search_audited_rank1_total",
        "counter",
        "Of these, such with the same first candidate, whatever its score.",
        lambda one: one.tally.agreed_1,
    ),
    _of_gallery(
        "facegrid_search_audited_matches_total",
        "counter",
        "Of these, such with a candidate of exact search at or above the threshold.",
        lambda one: one.tally.sought,
    ),
    _of_gallery(
        "facegrid_search_missed_total",
        "counter",
        "Of these matches, such whose first candidate the approximate search did not find.",
        lambda one: one.tally.missed,
    ),
)


class Metrics:
    """The counts of one server, in a registry of their own.

    No label takes as many values as there are subjects or clients: methods and codes are the API's, and
    galleries, which operators name, go with them.
    """

    def __init__(self) -> None:
        """Begin to count."""
        self.registry = CollectorRegistry()
        self.described: list[Described] = []
        self._calls = self._add(Counter, "facegrid_calls_total", "Calls that ended.", "method", "code")
        self._call_seconds = self._histogram("facegrid_call_seconds", "What calls took.", "method")
        self._stage_seconds = self._histogram(
            "facegrid_search_stage_seconds", "What the parts of Identify and Verify took.", "stage"
        )
        build = self._add(Gauge, "facegrid_build_info", "1, with the program's version.", "version")
        build.labels(__version__).set(1)
        self.described += [one.described for one in _GALLERY_METRICS]

    def _add(self, kind: type[_Kind], name: str, text: str, *labels: str, **options: Any) -> _Kind:
        self.described.append(Described(name, kind.__name__.lower(), labels, text))
        return kind(name, text, labels, registry=self.registry, **options)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return self._add(Histogram, name, text, *labels, buckets=_SECONDS)

    def call_ended(self, method: str, code: str, seconds: float) -> None:
        """Count a call."""
        self._calls.labels(method, code).inc()
        self._call_seconds.labels(method).observe(seconds)

    def searched(self, report: SearchReport) -> None:
        """Count the parts of a search."""
        stages = {"detect": report.detect_ms, "embed": report.embed_ms, "search": report.search_ms}
        for stage, milliseconds in stages.items():
            self._stage_seconds.labels(stage).observe(milliseconds / 1000)

    def watch(self, galleries: Callable[[], Sequence[WatchedGallery]]) -> None:
        """Take where the figures of galleries are had from, in any thread."""
        self.registry.register(_Galleries(galleries))


class _Galleries(Collector):
    def __init__(self, galleries: Callable[[], Sequence[WatchedGallery]]) -> None:
        self._galleries = galleries

    def collect(self) -> Iterator[Metric]:
        galleries = self._galleries()
        for metric in _GALLERY_METRICS:
            described = metric.described
            kind = GaugeMetricFamily if described.kind == "gauge" else CounterMetricFamily
            family = kind(described.name, described.text, labels=described.labels)
            for one in galleries:
                family.add_metric([one.gallery.name], metric.value(one))
            yield family


@contextmanager
def serving(metrics: Metrics, address: str) -> Iterator[int]:
    """Serve metrics on HOST:PORT until the context ends; yields the port. Raises ConfigurationError."""
    host, _, port = address.rpartition(":")
    try:
        server, _thread = start_http_server(int(port), host.strip("[]"), metrics.registry)
    except OSError:
        raise ConfigurationError(
            f"cannot serve metrics on {address}: it is in use, or no address of this machine"
        ) from None
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def metrics_reference() -> str:
    """Return the description of all metrics, in Markdown."""
    rows = [
        f"| `{one.name}` | {one.kind} | {', '.join(one.labels)} | {one.text} |" for one in Metrics().described
    ]
    return "\n".join([*_HEAD, *rows, ""])


_HEAD = (
    "# Metrics",
    "",
    "With `FACEGRID_METRICS=127.0.0.1:9464` a server answers `GET /metrics` for Prometheus, without",
    "encryption or authentication: it says which galleries there are and how many people stand in them.",
    "Where the setting is empty nothing is served, and no address but loopback is taken without",
    "`--insecure`. This page is made by `make proto`.",
    "",
    "| metric | kind | labels | |",
    "|---|---|---|---|",
)
