"""Duplicates: pairs of different subjects that look like one person."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from zlib import crc32

import numpy as np

from facegrid.domain.errors import InvalidField
from facegrid.domain.galleries import Gallery, IndexRows
from facegrid.domain.matching import Hit, check_threshold
from facegrid.domain.pairs import Pair, PairedSample, keep_best, pairs_between, pairs_within
from facegrid.identity.galleries import Galleries
from facegrid.identity.ports import Records
from facegrid.identity.projection import Projection

_BLOCK_ENCOUNTERS = 16_384
_ROWS_COMPARED = 4_096  # with a block, at once
_PROBES_A_SEARCH = 64
_MOST_PAIRS = 1_000_000  # of a block
_PAIRS_A_STEP = 1_000


@dataclass(frozen=True, slots=True)
class DuplicatesStep:
    """Pairs that a job has found, and how much of it is done, from 0 to 1.

    Asked for again with a `cursor`, it goes on behind this step; where that is empty, behind the last one.
    """

    share: float
    pairs: tuple[Pair, ...] = ()
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class DuplicatesFound:
    """The end of a job over so many templates.

    Every pair of what the gallery held at `revision` and holds now was found, where the search is `exact`.
    """

    gallery: Gallery
    threshold: float
    templates: int
    revision: int
    exact: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class _Position:
    """Where a job is: subjects are spread over `blocks` by hashes of their ids; `block` is the next one."""

    threshold: float
    revision: int
    blocks: int
    block: int = 0

    def cursor(self, gallery: Gallery) -> str:
        """Return the opaque form that clients hold."""
        fields = gallery.gallery_id, self.threshold, self.revision, self.blocks, self.block
        return ":".join(map(str, fields))

    @classmethod
    def parse(cls, cursor: str, gallery: Gallery) -> "_Position":
        """Return the position of a cursor. Raises InvalidField."""
        try:
            owner, threshold, *numbers = cursor.split(":")
            position = cls(float(threshold), *map(int, numbers))
            if owner == gallery.gallery_id and 0 <= position.block <= position.blocks:
                return position
        except (ValueError, TypeError):
            pass
        raise InvalidField(
            "cursor is none of this gallery's; send the last that FindDuplicates sent, as it came",
            field="cursor",
        )

    def block_of(self, subject_id: str) -> int:
        """Return the block of a subject."""
        return crc32(subject_id.encode()) % self.blocks


class FindDuplicates:
    """Compares the subjects of a gallery with each other."""

    def __init__(
        self,
        galleries: Galleries,
        records: Records,
        projection: Projection,
        thread: Executor,
        *,
        by_search: bool,
    ) -> None:
        """Take a thread that compares; with `by_search` the index is searched with each template instead."""
        self._galleries, self._records, self._projection = galleries, records, projection
        self._thread, self._by_search = thread, by_search

    async def __call__(
        self, gallery_name: str, threshold: float | None = None, cursor: str = ""
    ) -> AsyncGenerator[DuplicatesStep | DuplicatesFound, None]:
        """Yield the best pair of each two subjects that reach the threshold, the gallery's where it is None.

        Their order is stable. Pairs with encounters that were enrolled after the job began may be missing.
        Raises GalleryNotFound, and InvalidField for a cursor of another job and for a threshold that too
        many pairs reach.
        """
        start, gallery = time.perf_counter(), await self._galleries.get(gallery_name)
        await self._projection.fill(gallery)
        position = self._position(gallery, threshold, cursor)
        job = _Job(gallery, position, self._records, self._projection, self._thread)
        await job.begin()
        while job.position.block < position.blocks:
            async with aclosing(job.search() if self._by_search else job.compare()) as shares:
                async for share in shares:
                    yield DuplicatesStep((job.position.block + share) / position.blocks)
            for step in job.advance():
                yield step
        exact, seconds = (
            not self._by_search or self._projection.is_exact(gallery),
            time.perf_counter() - start,
        )
        yield DuplicatesFound(gallery, position.threshold, job.templates, position.revision, exact, seconds)

    def _position(self, gallery: Gallery, threshold: float | None, cursor: str) -> _Position:
        if threshold is not None:
            check_threshold(threshold, "threshold")
        if cursor:
            position = _Position.parse(cursor, gallery)
            if threshold in {None, position.threshold}:
                return position
            raise InvalidField("threshold is not that of the cursor; leave it out", field="threshold")
        blocks = -(-self._projection.encounter_count(gallery) // _BLOCK_ENCOUNTERS)
        limit = gallery.thresholds.identify.value if threshold is None else threshold
        return _Position(limit, self._projection.revision(gallery), max(1, blocks))


class _Job:
    """A job at one of its blocks."""

    def __init__(
        self,
        gallery: Gallery,
        position: _Position,
        records: Records,
        projection: Projection,
        thread: Executor,
    ) -> None:
        self.position, self.templates = position, 0
        self._gallery, self._records, self._projection = gallery, records, projection
        self._thread = thread
        self._block: list[IndexRows] = []
        self._following: list[IndexRows] = []
        self._best: dict[tuple[str, str], Pair] = {}

    async def begin(self) -> None:
        """Read the rows of the first block."""
        self._block = await self._read(self.position.block)

    async def _read(self, block: int) -> list[IndexRows]:
        """Return the rows of a block; count all rows."""
        parts, self.templates = list[IndexRows](), 0
        async with aclosing(self._records.live_rows(self._gallery)) as batches:
            async for rows in batches:
                parts.append(self._of(rows, lambda one: one == block))
                self.templates += len(rows)
        return parts

    def _of(self, rows: IndexRows, wanted: Callable[[int], bool]) -> IndexRows:
        """Return the rows of some blocks."""
        owners = enumerate(rows.subject_ids)
        return rows.take([row for row, subject_id in owners if wanted(self.position.block_of(subject_id))])

    async def compare(self) -> AsyncGenerator[float, None]:
        """Compare the rows of the block with each other and with those of all later blocks; read the next."""
        block, here, done = _joined(self._block), self.position.block, 0
        await self._merge(partial(pairs_within, block, self.position.threshold))
        if here == self.position.blocks - 1:
            return
        async with aclosing(self._records.live_rows(self._gallery)) as batches:
            async for rows in batches:
                self._following.append(self._of(rows, lambda one: one == here + 1))
                later = self._of(rows, lambda one: one > here)
                for start in range(0, len(later), _ROWS_COMPARED):
                    part = later.part(slice(start, start + _ROWS_COMPARED))
                    await self._merge(partial(pairs_between, block, part, self.position.threshold))
                    yield min(1.0, (done + start) / max(1, self.templates))
                done += len(rows)

    async def search(self) -> AsyncGenerator[float, None]:
        """Search the index with each template of the block; a pair counts on the side of its lower id."""
        block = _joined(self._block)
        for start in range(0, len(block), _PROBES_A_SEARCH):
            part = block.part(slice(start, start + _PROBES_A_SEARCH))
            found = await self._projection.search_above(self._gallery, part.vectors, self.position.threshold)
            await self._merge(partial(_pairs_of_hits, part, found))
            yield start / len(block)
        if self.position.block < self.position.blocks - 1:
            self._following = await self._read(self.position.block + 1)

    async def _merge(self, pairs: Callable[[], Iterable[Pair]]) -> None:
        """Look for pairs in the thread. Raises InvalidField where they are too many."""
        await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: keep_best(self._best, _bounded(pairs()))
        )
        if len(self._best) > _MOST_PAIRS:
            raise _too_many()

    def advance(self) -> list[DuplicatesStep]:
        """Return the pairs of the block, the last ones with the cursor of the next, and go on to that."""
        pairs = [self._best[subjects] for subjects in sorted(self._best)]
        self.position = replace(self.position, block=self.position.block + 1)
        self._block, self._following, self._best = self._following, [], {}
        share = self.position.block / self.position.blocks
        starts = range(0, max(1, len(pairs)), _PAIRS_A_STEP)
        steps = [DuplicatesStep(share, tuple(pairs[start : start + _PAIRS_A_STEP])) for start in starts]
        return [*steps[:-1], replace(steps[-1], cursor=self.position.cursor(self._gallery))]


def _pairs_of_hits(probes: IndexRows, found: Sequence[Sequence[Hit]]) -> Iterator[Pair]:
    for row, hits in enumerate(found):
        probe = PairedSample.of(probes, row)
        for hit in hits:
            if probe.subject_id < hit.subject_id:
                yield Pair(probe, PairedSample(hit.subject_id, hit.encounter_id, hit.sample), hit.score)


def _bounded(pairs: Iterable[Pair]) -> Iterator[Pair]:
    for number, pair in enumerate(pairs):
        if number >= _MOST_PAIRS:
            raise _too_many()
        yield pair


def _too_many() -> InvalidField:
    return InvalidField(
        f"the threshold is reached by more than {_MOST_PAIRS:,} pairs at a time; take a higher one",
        field="threshold",
    )


def _joined(parts: Sequence[IndexRows]) -> IndexRows:
    return IndexRows(
        [one for part in parts for one in part.subject_ids],
        [one for part in parts for one in part.encounter_ids],
        [one for part in parts for one in part.samples],
        np.concatenate([part.vectors for part in parts]),
        [one for part in parts for one in part.labels],
    )
