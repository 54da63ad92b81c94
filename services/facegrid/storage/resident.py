"""The exact index in memory: every search compares the probe with every row."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import faiss
import numpy as np

from facegrid.domain.errors import IndexLoading
from facegrid.domain.faces import Floats
from facegrid.domain.galleries import IndexRows
from facegrid.domain.matching import Hit
from facegrid.domain.templates import round_score
from facegrid.storage.blocks import Places
from facegrid.storage.vectors import ScannedVectors

T = TypeVar("T")
_ROWS_A_STEP = 1024


class ResidentIndex:
    """An Index of rows in memory, one set a gallery: float32 vectors and their 8-bit codes."""

    exact = True

    def __init__(self, workers: int) -> None:
        """Take the number of threads that scan, and of calls that may run at a time."""
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, "resident", faiss.omp_set_num_threads, (1,))
        self._scanners = ThreadPoolExecutor(workers, "scan", faiss.omp_set_num_threads, (1,))
        self._galleries: dict[str, _Rows] = {}

    def close(self) -> None:
        """Wait for what is under way and forget all rows."""
        self._pool.shutdown()
        self._scanners.shutdown()
        self._galleries.clear()

    async def open(self, gallery: str, version: str, dimension: int) -> set[str]:
        """Make the gallery's rows ready, empty where they were of another version; return their keys."""
        rows = self._galleries.get(gallery)
        if rows is None or rows.version != version:
            vectors = ScannedVectors(dimension, self._scanners, self._workers)
            rows = self._galleries[gallery] = _Rows(version, vectors)
        return await self._run(rows.keys)

    async def add(self, gallery: str, rows: IndexRows) -> None:
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
    """The rows of one gallery, column by column: a million objects would cost as much as their vectors.

    A search holds the lock to its end, so that it never meets half a change.
    """

    def __init__(self, version: str, vectors: ScannedVectors) -> None:
        self.version = version
        self._vectors = vectors
        self._subjects: list[str] = []
        self._encounters: list[str] = []
        self._samples: list[int] = []
        self._places: dict[str, tuple[int, ...]] = {}
        self._lock = threading.Lock()

    def keys(self) -> set[str]:
        with self._lock:
            rows = zip(self._encounters, self._samples, strict=True)
            return {f"{encounter_id}/{sample}" for encounter_id, sample in rows}

    def add(self, rows: IndexRows) -> None:
        for start in range(0, len(rows), _ROWS_A_STEP):
            part = rows.part(slice(start, start + _ROWS_A_STEP))
            encoded = self._vectors.encode(part.vectors)
            with self._lock:
                self._vectors.put(self._place_all(part), encoded)

    def remove(self, encounter_ids: Sequence[str]) -> None:
        with self._lock:
            for encounter_id in encounter_ids:
                for place in sorted(self._places.pop(encounter_id, ()), reverse=True):
                    self._vacate(place)

    def search(self, probes: Floats, limit: int) -> list[list[Hit]]:
        with self._lock:
            return [
                [
                    self._hit(place, score)
                    for place, score in zip(places.tolist(), scores.tolist(), strict=True)
                ]
                for places, scores in self._vectors.search(probes, limit)
            ]

    def _hit(self, place: int, score: float) -> Hit:
        return Hit(
            self._subjects[place], self._encounters[place], self._samples[place], score=round_score(score)
        )

    def _place_all(self, rows: IndexRows) -> Places:
        keys = zip(rows.subject_ids, rows.encounter_ids, rows.samples, strict=True)
        return np.fromiter((self._place(*key) for key in keys), np.int64, len(rows))

    def _place(self, subject_id: str, encounter_id: str, sample: int) -> int:
        places = self._places.get(encounter_id, ())
        for place in places:
            if self._samples[place] == sample:
                self._subjects[place] = subject_id
                return place
        place = len(self._samples)
        self._places[encounter_id] = (*places, place)
        self._subjects.append(subject_id)
        self._encounters.append(encounter_id)
        self._samples.append(sample)
        return place

    def _vacate(self, place: int) -> None:
        """Move the last row into a place. It is of another encounter, or that place itself."""
        last = len(self._samples) - 1
        if place != last:
            moved = self._encounters[last]
            self._places[moved] = tuple(place if one == last else one for one in self._places[moved])
        self._subjects[place] = self._subjects[last]
        self._encounters[place] = self._encounters[last]
        self._samples[place] = self._samples[last]
        for column in (self._subjects, self._encounters, self._samples):
            column.pop()
        self._vectors.remove(place)
