"""Watching: a small share of real searches is held against exact search, beside other calls."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from facegrid.domain.audits import AUDITED_TOP, Comparison, Ranked, Tally, compare
from facegrid.domain.exact import ExactSearch
from facegrid.domain.faces import Floats
from facegrid.domain.galleries import Gallery
from facegrid.domain.matching import Hit
from facegrid.identity.probing import Trials
from facegrid.identity.projection import Projection

_MOST_WAITING = 64
_LARGEST_SHARE = 0.1  # of the time that comparisons take


@dataclass(frozen=True, slots=True)
class WatchedGallery:
    """A gallery, how many subjects its searches cover, and how the searches did that were watched."""

    gallery: Gallery
    exact: bool
    subjects: int
    tally: Tally


@dataclass(frozen=True, slots=True)
class _Search:
    gallery: Gallery
    probe: Floats = field(repr=False)
    found: Sequence[Hit]


class WatchSearches:
    """Takes searches of approximate galleries and compares those of a gallery in one reading of its records.

    Exact are the records alone: an index that searches all of its cells still compares 8-bit codes. A reading
    takes seconds at a million templates: it rests nine times as long, 64 probes wait at most, in memory, and
    more are let go.
    """

    def __init__(self, projection: Projection, trials: Trials, share: float) -> None:
        """Take the projection, what reads the records, and the share of searches to compare, from 0 to 1."""
        self._projection, self._trials, self._share = projection, trials, share
        self._waiting: list[_Search] = []
        self._rested = 0.0
        self._tallies: dict[str, Tally] = {}

    def offer(self, gallery: Gallery, probes: Floats, found: Sequence[Sequence[Hit]]) -> None:
        """Take some of the searches of a whole gallery, with what was found; it never waits."""
        if self._projection.is_exact(gallery):
            return
        for probe, hits in zip(probes, found, strict=True):
            if len(self._waiting) < _MOST_WAITING and random.random() < self._share:  # noqa: S311  # no secret
                self._waiting.append(_Search(gallery, probe, hits))

    async def __call__(self) -> int:
        """Compare the searches of one gallery, if there are some and it is time; returns their number."""
        start = time.monotonic()
        if not self._waiting or start < self._rested:
            return 0
        gallery = self._waiting[0].gallery
        searches = [one for one in self._waiting if one.gallery.gallery_id == gallery.gallery_id]
        self._waiting = [one for one in self._waiting if one.gallery.gallery_id != gallery.gallery_id]
        if not self._projection.is_dropped(gallery):
            compared = Tally.of(await self._compare(gallery, searches))
            self._tallies[gallery.gallery_id] = self._tally(gallery) + compared
        self._rested = time.monotonic() + (time.monotonic() - start) * (1 / _LARGEST_SHARE - 1)
        return len(searches)

    def galleries(self) -> list[WatchedGallery]:
        """Return the galleries that can be searched, in any thread."""
        return [
            WatchedGallery(gallery, self._projection.is_exact(gallery), subjects, self._tally(gallery))
            for gallery, subjects in self._projection.sizes()
        ]

    def _tally(self, gallery: Gallery) -> Tally:
        return self._tallies.get(gallery.gallery_id, Tally())

    async def _compare(self, gallery: Gallery, searches: Sequence[_Search]) -> list[Comparison]:
        exact = ExactSearch(np.stack([one.probe for one in searches]), AUDITED_TOP)
        async for _ in self._trials.each_block(gallery, exact.add):
            pass
        pairs = zip(searches, exact.best(), strict=True)
        compared = [(one, best, compare(best, one.found, _threshold(gallery))) for one, best in pairs]
        return [await self._again(one, best) if found.missed else found for one, best, found in compared]

    async def _again(self, search: _Search, exact: Ranked) -> Comparison:
        """Search again for what was missed: what changed between the search and the reading is no miss."""
        hits = (await self._projection.search(search.gallery, search.probe[None], AUDITED_TOP))[0]
        found = compare(exact, hits, _threshold(search.gallery))
        if found.missed and await self._trials.subject(search.gallery, found.sought) is None:
            return replace(found, sought="", missed=False)
        return found


def _threshold(gallery: Gallery) -> float:
    return gallery.thresholds.identify.value
