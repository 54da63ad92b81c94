"""The filling of an index from the records, on from where it had come, or by a comparison of all keys."""

from collections.abc import Callable

from facegrid.domain.galleries import Gallery, IndexRows, Watermark
from facegrid.identity.index_state import IndexState
from facegrid.identity.ports import Index, Records


class Filling:
    """Fills one gallery's index."""

    def __init__(
        self,
        records: Records,
        index: Index,
        gallery: Gallery,
        state: IndexState,
        check: Callable[[], None],
    ) -> None:
        """Take the records and the index, and a check that raises where the gallery is gone."""
        self._records, self._index = records, index
        self._gallery, self._state, self._check = gallery, state, check

    async def __call__(self) -> None:
        """Make the index equal to the records and note what it holds."""
        gallery, state = self._gallery, self._state
        known = await self._records.watermark(gallery.gallery_id)
        if not (known and await self._catch_up(known)):
            await self._reconcile()
        last = await self._records.last_revision(gallery)
        state.revision = max(state.revision, last, known.revision if known else 0)
        state.complete = True
        state.place = await self._index.resume(gallery.gallery_id, gallery.template_version, gallery.index)
        if state.place:
            await self._records.set_watermark(gallery.gallery_id, state.watermark)

    async def _catch_up(self, known: Watermark) -> bool:
        """Bring an index that was complete up to its watermark to the present; False where it was not."""
        gallery = self._gallery
        place = await self._index.resume(gallery.gallery_id, gallery.template_version, gallery.index)
        if not (place and known.complete and known.place == place):
            return False
        count, amended = 0, await self._records.amended(gallery)
        async for rows, revision in self._records.rows(gallery):
            self._note(rows, revision)
            count += len(rows)
            if revision > known.revision:
                await self._index.add(gallery.gallery_id, rows)
            elif amended:
                changed = [row for row, one in enumerate(rows.encounter_ids) if one in amended]
                await self._index.add(gallery.gallery_id, rows.take(changed))
        await self._index.remove(gallery.gallery_id, await self._records.replaced(gallery))
        return await self._index.count(gallery.gallery_id) == count

    async def _reconcile(self) -> None:
        """Compare the keys of all rows: add what is missing and remove what is gone."""
        gallery = self._gallery
        present = await self._index.open(
            gallery.gallery_id, gallery.template_version, gallery.dimension, gallery.index
        )
        amended = await self._records.amended(gallery) if present else set()
        async for rows, revision in self._records.rows(gallery):
            self._note(rows, revision)
            keys = rows.keys if present else ()
            missing = [
                row
                for row, key in enumerate(keys)
                if key not in present or rows.encounter_ids[row] in amended
            ]
            await self._index.add(gallery.gallery_id, rows.take(missing) if keys else rows)
            present.difference_update(keys)
        gone = {key.partition("/")[0] for key in present}
        await self._index.remove(gallery.gallery_id, sorted(gone))

    def _note(self, rows: IndexRows, revision: int) -> None:
        self._check()
        self._state.note(dict(zip(rows.encounter_ids, rows.subject_ids, strict=True)))
        self._state.revision = max(self._state.revision, revision)
