"""The indexes on a server that follows another: searched here, written there."""

import asyncio

from facegrid.domain.errors import IndexLoading
from facegrid.domain.galleries import Gallery, Watermark
from facegrid.identity.ports import Records, SharedIndex
from facegrid.identity.projection import Projection
from facegrid.identity.recent import Recent


class Following(Projection):
    """A Projection that writes nothing. What it reports is the leader's watermark, a lower bound."""

    def __init__(self, records: Records, index: SharedIndex) -> None:
        """Take the records and the index, both of which the leader writes."""
        super().__init__(records, index)
        self._shared, self._watermarks = index, Recent(self._read)
        self._subjects: dict[str, int] = {}

    def fill(self, gallery: Gallery) -> asyncio.Future[None]:
        """Look how far the leader has come; IndexLoading comes with the future while it fills its index."""
        return asyncio.ensure_future(self._look(gallery))

    async def reach(self, gallery: Gallery, revision: int, deadline: float | None) -> None:
        """Let the next search see a revision: clients hold only acknowledged ones, which the index has."""
        await self.ready(gallery, deadline)
        if revision > self.revision(gallery):
            self._shared.follow(gallery.gallery_id, gallery.index)

    def subject_count(self, gallery: Gallery) -> int:
        """Return the number of subjects that a search covers."""
        return self._subjects[gallery.gallery_id]

    async def _look(self, gallery: Gallery) -> None:
        watermark = await self._watermarks.get(gallery.gallery_id)
        if gallery.gallery_id not in self._subjects:
            self._shared.follow(gallery.gallery_id, gallery.index)
        self._subjects[gallery.gallery_id] = watermark.subjects
        self._reached(gallery, watermark.revision)

    async def _read(self, gallery_id: str) -> Watermark:
        watermark = await self._records.watermark(gallery_id)
        if watermark is None:
            raise IndexLoading("the gallery is still being loaded; retry in a moment")
        return watermark
