"""What the use cases need of an index."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from facegrid.domain.faces import Floats
from facegrid.domain.filters import UNRESTRICTED, Restriction
from facegrid.domain.galleries import (
    IndexEntry,
    IndexRows,
)
from facegrid.domain.index_settings import EXACT_INDEX, IndexSettings
from facegrid.domain.matching import Hit


class Index(Protocol):
    """A projection of one or more galleries that can be searched. `gallery` is a gallery's id."""

    approximates: bool  # whether it can search approximately; otherwise every search is exact

    async def open(
        self, gallery: str, version: str, dimension: int, settings: IndexSettings = EXACT_INDEX
    ) -> set[str]:
        """Make the index of a gallery ready and return the keys of the rows that it holds already."""
        ...

    async def resume(self, gallery: str, version: str, settings: IndexSettings = EXACT_INDEX) -> str:
        """Use an index as another process left it, and return which one it is; empty where it must be opened.

        Always empty where the index ends with its process.
        """
        ...

    async def count(self, gallery: str) -> int:
        """Return the number of rows that the index holds."""
        ...

    async def check(self) -> None:
        """Raise StoreUnavailable where searches cannot be answered now."""
        ...

    async def add(self, gallery: str, rows: IndexRows) -> None:
        """Add rows; one whose key is there is overwritten."""
        ...

    async def remove(self, gallery: str, encounter_ids: Sequence[str]) -> None:
        """Remove the rows of these encounters; unknown ids are ignored."""
        ...

    async def search(
        self,
        gallery: str,
        probes: Floats,
        limit: int,
        settings: IndexSettings = EXACT_INDEX,
        *,
        restriction: Restriction = UNRESTRICTED,
    ) -> list[list[Hit]]:
        """Return for each probe of (N, dimension) the `limit` best of the rows that a restriction allows.

        They stand best first, with the scores of their float32 vectors, to a millionth. Fewer hits than
        `limit` mean that the index holds, or an approximate search finds, no more such rows.
        """
        ...

    def entries(
        self, gallery: str, encounter_ids: Sequence[str] | None = None
    ) -> AsyncIterator[list[IndexEntry]]:
        """Yield in pages what the index holds of some encounters, of all where None is given.

        A row that is there from the first page to the last comes once, or twice where others go meanwhile.
        """
        ...

    async def begin(
        self, gallery: str, version: str, dimension: int, settings: IndexSettings = EXACT_INDEX
    ) -> str:
        """Begin an empty index beside that of a gallery; return the name that the methods know it by."""
        ...

    async def promote(self, gallery: str, beside: str) -> None:
        """Let an index that was begun beside a gallery's take its place in one step, and remove the old."""
        ...

    async def build(self, gallery: str) -> None:
        """Wait until the index is as searches will find it when nothing changes any more."""
        ...

    async def drop(self, gallery: str) -> None:
        """Remove the whole index of a gallery, if there is one."""
        ...

    def close(self) -> None:
        """Let go of threads and connections."""
        ...


class SharedIndex(Index, Protocol):
    """An Index that several servers search while one of them writes."""

    def follow(self, gallery: str, settings: IndexSettings = EXACT_INDEX) -> None:
        """Let searches that begin within a second see all that was acknowledged by now, whoever wrote it."""
        ...
