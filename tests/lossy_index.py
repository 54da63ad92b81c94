"""An approximate index whose misses are known."""

from zlib import crc32

from facegrid.domain.faces import Floats
from facegrid.domain.index_settings import EXACT_INDEX, IndexSettings
from facegrid.domain.matching import Hit
from facegrid.storage.indexes.resident import ResidentIndex

LISTS = 64


class LossyIndex(ResidentIndex):
    """Keeps encounters in 64 lists, by the checksum of their ids, of which a search reads the first ones."""

    approximates = True

    async def search(
        self, gallery: str, probes: Floats, limit: int, settings: IndexSettings = EXACT_INDEX
    ) -> list[list[Hit]]:
        """Return the best rows of the lists that are read."""
        found = await super().search(gallery, probes, limit)
        lists = settings.nprobe or LISTS
        return [[hit for hit in hits if crc32(hit.encounter_id.encode()) % LISTS < lists] for hits in found]
