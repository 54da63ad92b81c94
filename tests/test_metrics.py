"""What Prometheus is told."""

from datetime import UTC, datetime
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import pytest

from facegrid import __version__
from facegrid.domain.audits import Tally
from facegrid.domain.errors import ConfigurationError
from facegrid.domain.galleries import Gallery
from facegrid.domain.packs import Threshold, Thresholds, ThresholdSource
from facegrid.identity.watching import WatchedGallery
from facegrid.metrics import Metrics, serving

_opener = build_opener(ProxyHandler({}))


def watched(name: str, subjects: int, tally: Tally) -> WatchedGallery:
    """Return what is known of an approximate gallery."""
    threshold = Threshold(0.5, ThresholdSource.PACK_DEFAULT)
    gallery = Gallery(
        name, f"id-{name}", "open", "v1", 4, Thresholds(threshold, threshold), True, datetime.now(UTC), b"k"
    )
    return WatchedGallery(gallery, False, subjects, tally)


def test_metrics_are_served_over_http_until_the_context_ends() -> None:
    """A scrape has the program's version; afterwards nobody listens."""
    with serving(Metrics(), "127.0.0.1:0") as port:
        page = _opener.open(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
        assert f'facegrid_build_info{{version="{__version__}"}} 1.0' in page
    with pytest.raises(URLError):
        _opener.open(f"http://127.0.0.1:{port}/metrics", timeout=5)


def test_a_port_that_is_taken_is_said() -> None:
    """Who starts the server learns which address it is."""
    with (
        serving(Metrics(), "127.0.0.1:0") as port,
        pytest.raises(ConfigurationError, match=str(port)),
        serving(Metrics(), f"127.0.0.1:{port}"),
    ):
        pass


def test_figures_of_galleries_are_as_new_as_the_scrape() -> None:
    """A gallery's series come with it and go with it."""
    galleries = [watched("a", 3, Tally(9, 6, 2, 7.0, 8.5)), watched("b", 1, Tally())]
    metrics = Metrics()
    metrics.watch(lambda: galleries)
    value = metrics.registry.get_sample_value
    assert value("facegrid_gallery_subjects", {"gallery": "a"}) == 3
    assert value("facegrid_gallery_exact", {"gallery": "b"}) == 0
    assert value("facegrid_search_audited_total", {"gallery": "a"}) == 9
    assert value("facegrid_search_audited_rank1_total", {"gallery": "a"}) == 7
    assert value("facegrid_search_audited_matches_total", {"gallery": "a"}) == 6
    assert value("facegrid_search_missed_total", {"gallery": "a"}) == 2
    galleries.clear()
    assert value("facegrid_gallery_subjects", {"gallery": "a"}) is None


def test_what_is_described_is_what_is_served() -> None:
    """Each metric has a line of the reference, with its kind, and no other stands there."""
    metrics = Metrics()
    metrics.watch(lambda: [watched("a", 3, Tally())])
    served = {
        (f"{one.name}_total" if one.type == "counter" else one.name, one.type)
        for one in metrics.registry.collect()
    }
    assert served == {(one.name, one.kind) for one in metrics.described}
