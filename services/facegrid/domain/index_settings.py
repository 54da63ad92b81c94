"""How a gallery is searched: exactly, or by an approximate index."""

from dataclasses import dataclass
from enum import Enum

from facegrid.domain.errors import InvalidField

DEFAULT_NPROBE, LARGEST_NPROBE = 64, 65_536  # the largest is Milvus's


class SearchMethod(Enum):
    """Whether a search compares every template."""

    EXACT = "exact"
    APPROXIMATE = "approximate"


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """A gallery's index. An approximate one keeps templates in lists, of which a search reads `nprobe`."""

    method: SearchMethod = SearchMethod.EXACT
    nprobe: int = 0

    @property
    def exact(self) -> bool:
        """Whether a search misses nothing."""
        return self.method is SearchMethod.EXACT


EXACT_INDEX = IndexSettings()


def check_index(settings: IndexSettings) -> IndexSettings:
    """Return settings, nprobe filled in where an approximate index states none. Raises InvalidField."""
    if settings.exact and settings.nprobe:
        raise InvalidField(
            "index.nprobe is for method APPROXIMATE; leave it out, or choose that", field="index.nprobe"
        )
    if settings.exact:
        return settings
    return IndexSettings(settings.method, check_nprobe(settings.nprobe or DEFAULT_NPROBE, "index.nprobe"))


def check_nprobe(nprobe: int, field: str) -> int:
    """Return a number of lists. Raises InvalidField outside 1..65,536."""
    if not 1 <= nprobe <= LARGEST_NPROBE:
        raise InvalidField(f"{field} is {nprobe}; ask for 1 to {LARGEST_NPROBE} lists", field=field)
    return nprobe
