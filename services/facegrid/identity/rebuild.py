"""Rebuild: a gallery's index is made anew from its records, beside all other calls."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from facegrid.domain.galleries import Gallery
from facegrid.identity.galleries import Galleries
from facegrid.identity.projection import Projection


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How many encounters and templates a new index holds so far, of as many encounters as the old one shows.

    `revision` is the gallery's at that moment, which the index shows.
    """

    gallery: Gallery
    encounters: int
    total: int
    templates: int
    revision: int
    seconds: float


class RebuildIndex:
    """Makes indexes anew."""

    def __init__(self, galleries: Galleries, projection: Projection) -> None:
        """Take the galleries and the projection."""
        self._galleries, self._projection = galleries, projection

    async def __call__(self, gallery_name: str) -> AsyncGenerator[Rebuilt, None]:
        """Say how far the new index is; when this ends, it is in service.

        Raises GalleryNotFound, MaintenanceRunning and StoreUnavailable; then the old one stays.
        """
        gallery, start = await self._galleries.get(gallery_name), time.perf_counter()
        encounters = templates = 0

        def so_far(total: int) -> Rebuilt:
            revision, seconds = self._projection.revision(gallery), time.perf_counter() - start
            return Rebuilt(gallery, encounters, total, templates, revision, seconds)

        async with aclosing(self._projection.rebuild(gallery)) as copied:
            async for rows in copied:
                encounters, templates = encounters + rows.samples.count(0), templates + len(rows)
                yield so_far(max(encounters, self._projection.encounter_count(gallery)))
        yield so_far(encounters)
