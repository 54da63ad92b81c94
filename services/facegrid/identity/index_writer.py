"""The writes to one gallery's index, in their order; and how another takes its place meanwhile."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from facegrid.domain.errors import MaintenanceRunning
from facegrid.domain.galleries import Gallery, IndexRows
from facegrid.identity.ports import Index

_ROWS_COPIED = 2048  # while a mutation waits


@dataclass(slots=True)
class _Beside:
    """An index that is filled beside the one in service; what mutations `touched` stands in both by them."""

    name: str
    touched: set[str] = field(default_factory=set)


class IndexWriter:
    """Writes to the index of a gallery, and to the one that is filled beside it where there is one."""

    def __init__(self, index: Index, gallery: Gallery) -> None:
        """Take the index and the gallery."""
        self._index, self._gallery = index, gallery
        self._turn = asyncio.Lock()
        self._replacing = False
        self._beside: _Beside | None = None

    async def write(self, rows: IndexRows | None = None, gone: Sequence[str] = ()) -> None:
        """Remove encounters and add rows."""
        if self._beside:
            self._beside.touched.update(gone, rows.encounter_ids if rows else ())
        # Without an index beside it the one in service orders writes itself, as far as it must.
        async with self._turn if self._beside else nullcontext():
            for name in [self._gallery.gallery_id, *([self._beside.name] if self._beside else [])]:
                if gone:
                    await self._index.remove(name, gone)
                if rows:
                    await self._index.add(name, rows)

    async def replace(
        self, batches: AsyncIterator[IndexRows], wanted: Callable[[], bool]
    ) -> AsyncGenerator[IndexRows, None]:
        """Fill an index beside the one in service, yield what was filled in, and put it in its place.

        `batches` are read beside all writes; where the new index is no longer `wanted` at the end, or before
        it, it is dropped. Raises MaintenanceRunning.
        """
        if self._replacing:
            raise MaintenanceRunning(
                f"the index of gallery {self._gallery.name} is being made anew; wait for the end of that"
            )
        self._replacing, complete = True, False
        try:
            beside = await self._begin()
            async for rows in batches:
                for start in range(0, len(rows), _ROWS_COPIED):
                    part = rows.part(slice(start, start + _ROWS_COPIED))
                    await self._copy(beside, part)
                    yield part
            complete = True
            await asyncio.shield(self._promote(beside.name, wanted))
        finally:
            self._replacing = False
            if self._beside and not complete:
                await asyncio.shield(self._abandon(self._beside.name))

    async def _begin(self) -> _Beside:
        gallery = self._gallery
        name = await self._index.begin(
            gallery.gallery_id, gallery.template_version, gallery.dimension, gallery.index
        )
        self._beside = beside = _Beside(name)
        return beside

    async def _copy(self, beside: _Beside, rows: IndexRows) -> None:
        async with self._turn:
            kept = [row for row, one in enumerate(rows.encounter_ids) if one not in beside.touched]
            await self._index.add(beside.name, rows if len(kept) == len(rows) else rows.take(kept))

    async def _promote(self, name: str, wanted: Callable[[], bool]) -> None:
        async with self._turn:
            self._beside = None
            await (
                self._index.promote(self._gallery.gallery_id, name) if wanted() else self._index.drop(name)
            )

    async def _abandon(self, name: str) -> None:
        async with self._turn:
            self._beside = None
            await self._index.drop(name)
