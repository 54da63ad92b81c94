"""The exact index in memory: every search compares the probe with every row."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from secrets import token_hex
from typing import TypeVar

import faiss
import numpy as np

from facegrid.domain.errors import IndexLoading
from facegrid.domain.faces import Floats
from facegrid.domain.filters import UNRESTRICTED, Restriction
from facegrid.domain.galleries import IndexEntry, IndexRows, checksum
from facegrid.domain.index_settings import EXACT_INDEX, IndexSettings
from facegrid.domain.labels import Labels
from facegrid.domain.matching import Hit
from facegrid.domain.templates import round_score
from facegrid.storage.indexes.blocks import Places
from facegrid.storage.indexes.row_labels import RowLabels
from facegrid.storage.indexes.vectors import EncodedVectors, ScannedVectors

T = TypeVar("T")
_ROWS_A_STEP = 1024  # a search waits for some milliseconds at most


class ResidentIndex:
    """An Index of rows in memory, one set a gallery: float32 vectors and their 8-bit codes."""

    approximates = False

    def __init__(self, workers: int) -> None:
        """Take the number of threads that scan, and of galleries that are searched at a time."""
        self._workers = workers
        self._searchers = ThreadPoolExecutor(workers, "search", faiss.omp_set_num_threads, (1,))
        self._writer = ThreadPoolExecutor(1, "write")
        self._scanners = ThreadPoolExecutor(workers, "scan", faiss.omp_set_num_threads, (1,))
        self._galleries: dict[str, _Rows] = {}

    def close(self) -> None:
        """Wait for what is under way and forget all rows."""
        self._writer.shutdown()
        self._searchers.shutdown()
        self._scanners.shutdown()
        self._galleries.clear()

    async def check(self) -> None:
        """Do nothing: memory answers as long as we do."""

    async def open(
        self,
        gallery: str,
        version: str,
        dimension: int,
        settings: IndexSettings = EXACT_INDEX,  # noqa: ARG002  # it is always exact
    ) -> set[str]:
        """Make the gallery's rows ready, empty where they were of another version; return their keys."""
        rows = self._galleries.get(gallery)
        if rows is None or rows.version != version:
            rows = self._galleries[gallery] = self._empty(version, dimension)
        return await _run(self._writer, rows.keys)

    async def resume(
        self,
        gallery: str,  # noqa: ARG002  # the port's
        version: str,  # noqa: ARG002
        settings: IndexSettings = EXACT_INDEX,  # noqa: ARG002
    ) -> str:
        """Say that nothing is left of an earlier process."""
        return ""

    async def count(self, gallery: str) -> int:
        """Return the number of rows. Raises IndexLoading where the gallery is not open."""
        return len(await _run(self._writer, self._rows(gallery).keys))

    def _empty(self, version: str, dimension: int) -> "_Rows":
        return _Rows(version, ScannedVectors(dimension, self._scanners, self._workers - 1))

    async def add(self, gallery: str, rows: IndexRows) -> None:
        """Add rows, over those with the same key. Raises IndexLoading where the gallery is not open."""
        held = self._rows(gallery)
        for start in range(0, len(rows), _ROWS_A_STEP):
            part = rows.part(slice(start, start + _ROWS_A_STEP))
            encoded = await _run(self._writer, held.vectors.encode, part.vectors)
            async with held.turn:
                await _run(self._writer, held.put, part, encoded)

    async def remove(self, gallery: str, encounter_ids: Sequence[str]) -> None:
        """Remove the rows of encounters. Raises IndexLoading where the gallery is not open."""
        held = self._rows(gallery)
        async with held.turn:
            await _run(self._writer, held.remove, encounter_ids)

    async def search(
        self,
        gallery: str,
        probes: Floats,
        limit: int,
        settings: IndexSettings = EXACT_INDEX,  # noqa: ARG002  # it is always exact
        *,
        restriction: Restriction = UNRESTRICTED,
    ) -> list[list[Hit]]:
        """Return the best rows for each probe. Raises IndexLoading where the gallery is not open.

        Searches wait for each other; the first of those that wait does the work of all, under the same
        restriction, in one scan.
        """
        rows, search = self._rows(gallery), _Search(probes, limit, restriction)
        rows.waiting.append(search)
        try:
            async with rows.turn:
                if search in rows.waiting:
                    await self._search_all(rows, restriction)
        finally:
            if search in rows.waiting:  # it was called off, or failed
                rows.waiting.remove(search)
        return search.found

    async def _search_all(self, rows: "_Rows", restriction: Restriction) -> None:
        searches = [one for one in rows.waiting if one.restriction is restriction]
        probes = np.concatenate([search.probes for search in searches])
        limit = max(search.limit for search in searches)
        found = iter(await _run(self._searchers, rows.search, probes, limit, restriction))
        for search in searches:
            search.found = [hits[: search.limit] for hits in islice(found, len(search.probes))]
            rows.waiting.remove(search)

    async def entries(
        self, gallery: str, encounter_ids: Sequence[str] | None = None
    ) -> AsyncIterator[list[IndexEntry]]:
        """Yield what is held of some encounters, or of all, from the last row to the first.

        A removal moves the last row into its place, so that none slips past. Raises IndexLoading where the
        gallery is not open.
        """
        rows = self._rows(gallery)
        if encounter_ids is not None:
            yield await _run(self._writer, rows.entries_of, encounter_ids)
            return
        end = len(rows)
        while end > 0:
            yield await _run(self._writer, rows.entries, end - _ROWS_A_STEP, end)
            end -= _ROWS_A_STEP

    async def begin(
        self,
        gallery: str,
        version: str,
        dimension: int,
        settings: IndexSettings = EXACT_INDEX,  # noqa: ARG002  # it is always exact
    ) -> str:
        """Begin empty rows beside a gallery's own, which memory must have room for."""
        beside = f"{gallery}-{token_hex(4)}"
        self._galleries[beside] = self._empty(version, dimension)
        return beside

    async def promote(self, gallery: str, beside: str) -> None:
        """Let other rows take the place of a gallery's; searches under way end on the old ones."""
        self._galleries[gallery] = self._galleries.pop(beside)

    async def build(self, gallery: str) -> None:
        """Do nothing: rows are searched alike from the first moment."""

    async def drop(self, gallery: str) -> None:
        """Forget a gallery."""
        self._galleries.pop(gallery, None)

    def _rows(self, gallery: str) -> "_Rows":
        try:
            return self._galleries[gallery]
        except KeyError:
            raise IndexLoading("the gallery's index is not open yet; retry in a moment") from None


async def _run(pool: ThreadPoolExecutor, call: Callable[..., T], *args: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, partial(call, *args))


@dataclass(slots=True, eq=False)  # arrays have no single truth
class _Search:
    """A search that waits for its turn, and what it found once it has been done."""

    probes: Floats
    limit: int
    restriction: Restriction
    found: list[list[Hit]] = field(default_factory=list)


class _Rows:
    """The rows of one gallery, column by column: a million objects would cost as much as their vectors.

    Searches and changes take turns, first come, first served. The lock keeps them apart where a caller who
    had the turn gave up while a thread goes on.
    """

    def __init__(self, version: str, vectors: ScannedVectors) -> None:
        self.version = version
        self.waiting: list[_Search] = []
        self.turn = asyncio.Lock()
        self.vectors = vectors
        self._subjects: list[str] = []
        self._encounters: list[str] = []
        self._samples: list[int] = []
        self._places: dict[str, tuple[int, ...]] = {}
        self._labels = RowLabels()
        self._lock = threading.Lock()

    def keys(self) -> set[str]:
        with self._lock:
            rows = zip(self._encounters, self._samples, strict=True)
            return {f"{encounter_id}/{sample}" for encounter_id, sample in rows}

    def __len__(self) -> int:
        return len(self._samples)

    def entries(self, start: int, end: int) -> list[IndexEntry]:
        with self._lock:
            return [self._entry(place) for place in range(max(start, 0), min(end, len(self)))]

    def entries_of(self, encounter_ids: Sequence[str]) -> list[IndexEntry]:
        with self._lock:
            return [self._entry(place) for one in encounter_ids for place in self._places.get(one, ())]

    def _entry(self, place: int) -> IndexEntry:
        return IndexEntry(
            self._subjects[place],
            self._encounters[place],
            self._samples[place],
            checksum(self.vectors.vector(place)),
            self._labels.checksum(place),
        )

    def put(self, rows: IndexRows, encoded: EncodedVectors) -> None:
        with self._lock:
            self.vectors.put(self._place_all(rows), encoded)

    def remove(self, encounter_ids: Sequence[str]) -> None:
        with self._lock:
            for encounter_id in encounter_ids:
                for place in sorted(self._places.pop(encounter_id, ()), reverse=True):
                    self._vacate(place)

    def search(self, probes: Floats, limit: int, restriction: Restriction) -> list[list[Hit]]:
        with self._lock:
            allowed = (
                None if restriction is UNRESTRICTED else self._labels.allowed(restriction, self._subjects)
            )
            return [
                [
                    self._hit(place, score)
                    for place, score in zip(places.tolist(), scores.tolist(), strict=True)
                ]
                for places, scores in self.vectors.search(probes, limit, allowed)
            ]

    def _hit(self, place: int, score: float) -> Hit:
        return Hit(
            self._subjects[place], self._encounters[place], self._samples[place], score=round_score(score)
        )

    def _place_all(self, rows: IndexRows) -> Places:
        keys = zip(rows.subject_ids, rows.encounter_ids, rows.samples, rows.labels, strict=True)
        return np.fromiter((self._place(*key) for key in keys), np.int64, len(rows))

    def _place(self, subject_id: str, encounter_id: str, sample: int, labels: Labels) -> int:
        places = self._places.get(encounter_id, ())
        for place in places:
            if self._samples[place] == sample:
                self._subjects[place] = subject_id
                self._labels.put(place, subject_id, labels)
                return place
        place = len(self._samples)
        self._labels.put(place, subject_id, labels)
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
        self._labels.remove(place)
        self.vectors.remove(place)
