"""Catching up: a change that an index missed while it was away comes to it, whoever tries again."""

from contextlib import suppress

from facegrid.domain.errors import FacegridError
from facegrid.identity.projection import Projection
from facegrid.identity.writes import Writes


class CatchUp:
    """Brings to the indexes what the records have and they lack."""

    def __init__(self, projection: Projection, writes: Writes) -> None:
        """Take the projection and the writes."""
        self._projection, self._writes = projection, writes

    async def __call__(self) -> int:
        """Try each subject once, and return the number of those that are done."""
        behind = self._projection.behind()
        for gallery, subject_id in behind:
            async with self._writes.hold(gallery, subject_id):
                with suppress(FacegridError):  # the index is still away, or the gallery gone
                    await self._projection.settle(gallery, subject_id)
        return len(behind - self._projection.behind())
