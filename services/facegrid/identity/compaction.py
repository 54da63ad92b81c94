"""Compaction: what changed in the records is brought, beside other calls, into the form that is read fast."""

from datetime import UTC, datetime, timedelta

from facegrid.domain.errors import ConfigurationError, FacegridError
from facegrid.identity.galleries import Galleries
from facegrid.identity.ports import Records
from facegrid.identity.projection import Projection
from facegrid.identity.writes import Writes

_LONGEST_HIDDEN = timedelta(hours=24)


class Compact:
    """Compacts the galleries in which enough has changed, or from which a deleted template must go."""

    def __init__(
        self,
        galleries: Galleries,
        records: Records,
        projection: Projection,
        writes: Writes,
        changes: int,
    ) -> None:
        """Take the parts that write to records, and the number of changes that make a compaction due."""
        self._galleries, self._records, self._projection = galleries, records, projection
        self._writes, self._changes = writes, changes

    async def __call__(self) -> int:
        """Compact the galleries that are due, one after the other, and return their number."""
        due = self._records.due(self._changes, datetime.now(UTC) - _LONGEST_HIDDEN)
        for gallery in due:
            try:
                await self._records.compact(gallery, self._writes.hold)
            except (FacegridError, ConfigurationError):
                if not self._projection.is_dropped(gallery):
                    raise
            if self._projection.is_dropped(gallery):
                await self._galleries.erase_remains(gallery)
        return len(due)
