"""The index in Milvus: Milvus Lite in a folder, or a server or cluster behind a URL."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Any, Concatenate, ParamSpec, TypeVar

from facegrid.domain.errors import ConfigurationError, IndexLoading, StoreUnavailable
from facegrid.domain.faces import Floats
from facegrid.domain.filters import UNRESTRICTED, Restriction
from facegrid.domain.galleries import IndexEntry, IndexRows
from facegrid.domain.index_settings import EXACT_INDEX, LARGEST_NPROBE, IndexSettings
from facegrid.domain.matching import Hit
from facegrid.storage.indexes.expressions import expression
from facegrid.storage.indexes.milvus_collection import MilvusCollection, among
from facegrid.storage.indexes.milvus_connection import MilvusConnection, MilvusOptions

P = ParamSpec("P")
T = TypeVar("T")
_MOST_ROWS_A_CALL, _MOST_BYTES_A_CALL = 1_024, 10_000_000  # small ones: Milvus takes several at a time
_SETTLING_S = 1.0  # a server shows a write within 0.4 s (measured on 2.3.5), whatever the consistency level


@dataclass(slots=True)
class _Opened:
    """A gallery's collection, when it was last written to, and whether another server looks after it."""

    exact: bool
    written: float
    followed: bool = False


class MilvusIndex:
    """An Index with one collection a gallery and template version, and an alias a gallery.

    Into Milvus Lite one thread does all writing: it loses acknowledged rows where two write to a collection.
    """

    def __init__(
        self,
        uri: str,
        options: MilvusOptions | None = None,
        workers: int = 4,
        check_owner: Callable[[], None] = lambda: None,
    ) -> None:
        """Take a folder or an URL, and the number of searches, and of writes, that may run at a time.

        `check_owner` raises where another server writes to the index by now. Nothing is connected before the
        first call: pymilvus takes seconds to import. Raises ConfigurationError.
        """
        self._check_owner = check_owner
        self._options = options or MilvusOptions()
        self._connection = MilvusConnection(uri, self._options)
        self.approximates = not self._connection.is_lite
        self._readers = ThreadPoolExecutor(workers, "milvus-read")
        self._writers = ThreadPoolExecutor(1 if self._connection.is_lite else workers, "milvus-write")
        self._checker = ThreadPoolExecutor(1, "milvus-check")
        self._opened: dict[str, _Opened] = {}

    def close(self) -> None:
        """Wait for what is under way and disconnect."""
        for pool in (self._readers, self._writers, self._checker):
            pool.shutdown()
        self._connection.close()

    async def open(
        self, gallery: str, version: str, dimension: int, settings: IndexSettings = EXACT_INDEX
    ) -> set[str]:
        """Make the collection of a gallery and version ready, and return the keys of its rows.

        Raises StoreUnavailable, as every method does where Milvus fails, and ConfigurationError where the
        collection is not as we make it.
        """
        exact = settings.exact or not self.approximates
        name, ours = _alias(_versioned(gallery, version)), {*map(_alias, self._opened)}
        keys = await self._run(
            self._writers, MilvusCollection.open, gallery, name, dimension, exact=exact, ours=ours
        )
        self._opened[gallery] = _Opened(exact, time.monotonic())
        return keys

    async def resume(self, gallery: str, version: str, settings: IndexSettings = EXACT_INDEX) -> str:
        """Use the collection of a gallery and version where it is loaded, and return its name and number.

        What a process left that was killed while it filled another one goes.
        """
        name = _alias(_versioned(gallery, version))
        place = await self._run(self._readers, MilvusCollection.place, gallery, name)
        if place:
            kept = {place.rpartition("/")[0], *map(_alias, self._opened)}
            await self._run(self._writers, MilvusCollection.drop_others, gallery, name, kept)
            exact = settings.exact or not self.approximates
            self._opened[gallery] = _Opened(exact, time.monotonic())
        return place

    def follow(self, gallery: str, settings: IndexSettings = EXACT_INDEX) -> None:
        """Let searches that begin within a second see all that was acknowledged by now."""
        exact = settings.exact or not self.approximates
        self._opened[gallery] = _Opened(exact, time.monotonic(), followed=True)

    async def count(self, gallery: str) -> int:
        """Return the number of rows. Raises IndexLoading where the gallery is not open."""
        self._open_one(gallery)
        return await self._run(self._readers, MilvusCollection.count, gallery)

    async def check(self) -> None:
        """Ask whether each gallery opened here can be searched; one that was released is loaded again.

        Raises StoreUnavailable, and ConfigurationError where somebody dropped a collection.
        """
        await self._run(self._checker, MilvusCollection.ping, "")
        for gallery in [one for one, opened in self._opened.items() if not opened.followed]:
            state = await self._run(self._checker, MilvusCollection.state, gallery)
            if gallery in self._opened and state != "Loaded":
                raise _not_searchable(_alias(gallery), state)

    async def add(self, gallery: str, rows: IndexRows) -> None:
        """Add rows, over those with the same key. Raises IndexLoading where the gallery is not open."""
        await self._write(MilvusCollection.upsert, gallery, _parts(_latest(rows)))

    async def remove(self, gallery: str, encounter_ids: Sequence[str]) -> None:
        """Remove the rows of encounters. Raises IndexLoading where the gallery is not open."""
        await self._write(MilvusCollection.delete, gallery, [encounter_ids])

    async def search(
        self,
        gallery: str,
        probes: Floats,
        limit: int,
        settings: IndexSettings = EXACT_INDEX,
        *,
        restriction: Restriction = UNRESTRICTED,
    ) -> list[list[Hit]]:
        """Return the best rows for each probe.

        An approximate index reads all its lists where it is to be searched exactly, or for some subjects
        alone, of whom the few that it reads otherwise might hold none. Raises IndexLoading where the
        gallery is not open, and InvalidField where more than 16,384 rows are needed.
        """
        opened = self._open_one(gallery)
        settled = time.monotonic() - opened.written > _SETTLING_S
        consistency = self._options.consistency if settled else "Strong"
        chosen = settings.nprobe if restriction.subject_ids is None else 0
        nprobe = None if opened.exact else chosen or LARGEST_NPROBE
        condition = expression(restriction)
        return await self._run(
            self._readers, MilvusCollection.search, gallery, probes, limit, nprobe, consistency, condition
        )

    async def entries(
        self, gallery: str, encounter_ids: Sequence[str] | None = None
    ) -> AsyncIterator[list[IndexEntry]]:
        """Yield what is held of some encounters, or of all, in the order of the keys.

        Raises IndexLoading where the gallery is not open.
        """
        self._open_one(gallery)
        for condition in [""] if encounter_ids is None else among(encounter_ids):
            last = ""
            while page := await self._run(self._readers, MilvusCollection.entries, gallery, condition, last):
                yield page
                last = page[-1].key

    async def begin(
        self, gallery: str, version: str, dimension: int, settings: IndexSettings = EXACT_INDEX
    ) -> str:
        """Begin an empty collection beside that which searches ask; its name is unlike that of any other."""
        exact = settings.exact or not self.approximates
        beside = f"{_versioned(gallery, version)}_{token_hex(4)}"
        await self._run(self._writers, MilvusCollection.make, gallery, _alias(beside), dimension, exact=exact)
        self._opened[beside] = _Opened(exact, time.monotonic())
        return beside

    async def promote(self, gallery: str, beside: str) -> None:
        """Switch a gallery's alias to another collection, which no search waits for, and drop the old one."""
        await self._run(self._writers, MilvusCollection.point, gallery, _alias(beside))
        self._opened[gallery] = replace(self._opened.pop(beside), written=time.monotonic())
        await asyncio.sleep(_SETTLING_S)  # searches under way end on the old one
        name = _alias(beside)
        await self._run(self._writers, MilvusCollection.drop_others, gallery, name.rpartition("_")[0], {name})

    async def build(self, gallery: str) -> None:
        """Seal the rows and wait for their index: until it is built, a search compares each of them.

        Raises IndexLoading where the gallery is not open.
        """
        self._open_one(gallery)
        await self._run(self._checker, MilvusCollection.seal, gallery)
        while not await self._run(self._checker, MilvusCollection.is_built, gallery):  # noqa: ASYNC110  # no event
            await asyncio.sleep(_SETTLING_S)

    async def drop(self, gallery: str) -> None:
        """Remove all collections of a gallery and its alias."""
        self._opened.pop(gallery, None)
        await self._run(self._writers, MilvusCollection.drop, gallery)

    def _open_one(self, gallery: str) -> _Opened:
        try:
            return self._opened[gallery]
        except KeyError:
            raise IndexLoading("the gallery's index is not open yet; retry in a moment") from None

    async def _write(
        self, work: Callable[[MilvusCollection, T], None], gallery: str, parts: Iterable[T]
    ) -> None:
        opened = self._open_one(gallery)
        calls = (self._run(self._writers, work, gallery, part) for part in parts)
        writing = asyncio.gather(*calls, return_exceptions=True)
        try:
            await asyncio.wait([writing])
        finally:  # whoever writes next, after a failure too, comes after all parts
            outcomes = await writing
            opened.written = time.monotonic()
        for failure in outcomes:
            if failure:
                raise failure

    async def _run(
        self,
        pool: ThreadPoolExecutor,
        work: Callable[Concatenate[MilvusCollection, P], T],
        gallery: str,
        *args: P.args,
        **options: P.kwargs,
    ) -> T:
        def call(client: Any) -> T:
            if pool is self._writers:
                self._check_owner()
            return work(MilvusCollection(client, _alias(gallery), self._options), *args, **options)

        return await asyncio.get_running_loop().run_in_executor(pool, self._connection.call, call)


def _not_searchable(alias: str, state: str) -> StoreUnavailable | ConfigurationError:
    if state == "NotExist":
        return ConfigurationError(
            f"Milvus no longer has {alias}; start the server again, which fills it from the records"
        )
    return StoreUnavailable("Milvus is loading the index; retry later")


def _latest(rows: IndexRows) -> IndexRows:
    """Leave out rows that a later one of the same key overwrites."""
    latest = {key: row for row, key in enumerate(rows.keys)}
    return rows if len(latest) == len(rows) else rows.take(list(latest.values()))


def _parts(rows: IndexRows) -> Iterator[IndexRows]:
    step = max(1, min(_MOST_ROWS_A_CALL, _MOST_BYTES_A_CALL // (rows.vectors[:1].nbytes or 1)))
    return (rows.part(slice(start, start + step)) for start in range(0, len(rows), step))


def _alias(gallery: str) -> str:
    return f"facegrid_{gallery}"


def _versioned(gallery: str, version: str) -> str:
    """Name an index of a version: these have characters that Milvus does not take in a name."""
    return f"{gallery}_{hashlib.sha256(version.encode()).hexdigest()[:16]}"
