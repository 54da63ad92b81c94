"""The exact index in memory: every search compares the probe with every row."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np

from facegrid.domain.errors import IndexLoading
from facegrid.domain.faces import Floats
from facegrid.domain.galleries import IndexRow
from facegrid.domain.matching import Hit
from facegrid.domain.templates import round_score

T = TypeVar("T")
_FIRST_CAPACITY = 1024


class ResidentIndex:
    """An Index of float32 rows in numpy arrays, one a gallery.

    Measured at 100,000 × 512 and one probe, numpy's product takes half the time of faiss' IndexFlatIP, and a
    plain array lets a row be overwritten or removed without moving the others.
    """

    exact = True

    def __init__(self, workers: int) -> None:
        """Take the number of searches that may run at a time."""
        self._pool = ThreadPoolExecutor(workers, "resident")
        self._galleries: dict[str, _Rows] = {}

    def close(self) -> None:
        """Wait for what is under way and forget all rows."""
        self._pool.shutdown()
        self._galleries.clear()

    async def open(self, gallery: str, version: str, dimension: int) -> set[str]:
        """Make the gallery's rows ready, empty where they were of another version; return their keys."""
        rows = self._galleries.get(gallery)
        if rows is None or rows.version != version:
            rows = self._galleries[gallery] = _Rows(version, dimension)
        return await self._run(rows.keys)

    async def add(self, gallery: str, rows: Sequence[IndexRow]) -> None:
        """Add rows, over those with the same key. Raises IndexLoading where the gallery is not open."""
        await self._run(self._rows(gallery).add, rows)

    async def remove(self, gallery: str, encounter_ids: Sequence[str]) -> None:
        """Remove the rows of encounters. Raises IndexLoading where the gallery is not open."""
        await self._run(self._rows(gallery).remove, encounter_ids)

    async def search(self, gallery: str, probes: Floats, limit: int) -> list[list[Hit]]:
        """Return the best rows for each probe. Raises IndexLoading where the gallery is not open."""
        return await self._run(self._rows(gallery).search, probes, limit)

    async def drop(self, gallery: str) -> None:
        """Forget a gallery."""
        self._galleries.pop(gallery, None)

    def _rows(self, gallery: str) -> "_Rows":
        try:
            return self._galleries[gallery]
        except KeyError:
            raise IndexLoading("the gallery's index is not open yet; retry in a moment") from None

    async def _run(self, call: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(call, *args))


class _Rows:
    """The rows of one gallery: `_vectors` has a vector in each of its first `len(_rows)` places."""

    def __init__(self, version: str, dimension: int) -> None:
        self.version = version
        self._vectors = np.empty((_FIRST_CAPACITY, dimension), np.float32)
        self._rows: list[tuple[str, str, int]] = []
        self._places: dict[tuple[str, int], int] = {}
        self._samples: dict[str, set[int]] = {}
        self._lock = threading.Lock()

    def keys(self) -> set[str]:
        with self._lock:
            return {f"{encounter_id}/{sample}" for encounter_id, sample in self._places}

    def add(self, rows: Sequence[IndexRow]) -> None:
        with self._lock:
            for row in rows:
                place = self._places.setdefault((row.encounter_id, row.sample), len(self._rows))
                self._put(place, row)

    def remove(self, encounter_ids: Sequence[str]) -> None:
        with self._lock:
            for encounter_id in encounter_ids:
                for sample in self._samples.pop(encounter_id, ()):
                    self._vacate(self._places.pop((encounter_id, sample)))

    def search(self, probes: Floats, limit: int) -> list[list[Hit]]:
        with self._lock:
            scores = probes @ self._vectors[: len(self._rows)].T
            return [self._best(row, limit) for row in scores]

    def _best(self, scores: Floats, limit: int) -> list[Hit]:
        count = len(scores)
        places = (
            np.argpartition(scores, count - limit)[count - limit :] if limit < count else np.arange(count)
        )
        ordered: list[int] = places[np.argsort(-scores[places], kind="stable")].tolist()
        return [Hit(*self._rows[place], score=round_score(float(scores[place]))) for place in ordered]

    def _put(self, place: int, row: IndexRow) -> None:
        entry = (row.subject_id, row.encounter_id, row.sample)
        if place == len(self._rows):
            self._make_room(place)
            self._rows.append(entry)
            self._samples.setdefault(row.encounter_id, set()).add(row.sample)
        self._rows[place] = entry
        self._vectors[place] = row.vector

    def _make_room(self, place: int) -> None:
        if place == len(self._vectors):
            grown = np.empty((2 * place, self._vectors.shape[1]), np.float32)
            grown[:place] = self._vectors
            self._vectors = grown

    def _vacate(self, place: int) -> None:
        """Fill a place with the last row."""
        last = self._rows.pop()
        if place < len(self._rows):
            self._rows[place] = last
            self._vectors[place] = self._vectors[len(self._rows)]
            self._places[last[1:]] = place
