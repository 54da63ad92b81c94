"""Millions of names with a checksum each, remembered in a few bytes."""

from array import array
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray


class Fingerprints:
    """Names as hashes of 64 bits, with checksums of 32: two of a million share a hash with odds of 3e-8."""

    def __init__(self) -> None:
        """Begin with none."""
        self._hashes, self._checksums = array("Q"), array("I")

    def add(self, name: str, checksum: int = 0) -> None:
        """Take a name in; of several checksums of one name the last stands."""
        self._hashes.append(_hash(name))
        self._checksums.append(checksum)

    def comparison(self) -> "Comparison":
        """Return what others are held against, once all names are in."""
        hashes, latest = np.unique(np.array(self._hashes, np.uint64)[::-1], return_index=True)
        return Comparison(hashes, np.array(self._checksums, np.uint32)[::-1][latest])


class Comparison:
    """Names in the order of their hashes, and which of them were met with their checksums."""

    def __init__(self, hashes: NDArray[np.uint64], checksums: NDArray[np.uint32]) -> None:
        """Take hashes, sorted, and their checksums."""
        self._hashes, self._checksums = hashes, checksums
        self._met = np.zeros(len(hashes), bool)

    def meet(self, name: str, checksum: int = 0) -> bool:
        """Say whether a name is here with this checksum, and remember it."""
        place = self._place(name)
        if place is None:
            return False
        self._met[place] = int(self._checksums[place]) == checksum
        return bool(self._met[place])

    def met(self, name: str) -> bool:
        """Say whether a name was met last with its checksum."""
        place = self._place(name)
        return place is not None and bool(self._met[place])

    @property
    def all_met(self) -> bool:
        """Whether every name was."""
        return bool(self._met.all())

    def _place(self, name: str) -> int | None:
        wanted = np.uint64(_hash(name))
        place = int(np.searchsorted(self._hashes, wanted))
        return place if place < len(self._hashes) and self._hashes[place] == wanted else None


def _hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest())
