"""Rows of a fixed number: float32 vectors beside their 8-bit codes, which faiss scans."""

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from facegrid.domain.faces import Floats

Places = NDArray[np.int64]
Scores = NDArray[np.float64]
Codes = NDArray[np.uint8]
Mask = NDArray[np.bool_]

BLOCK_ROWS = 16_384  # 8 MB of codes at 512 numbers: several probes meet them in the cache
_FIRST_ROWS = 256
_ZERO = 128  # the code of 0 in faiss' QT_8bit_direct_signed


def encode_steps(steps: Floats) -> Codes:
    """Return the codes of whole numbers from -128 to 127."""
    return (steps + np.float32(_ZERO)).astype(np.uint8)


class Block:
    """The vectors in the places from `first` on; `worst` is the largest error of their codes so far."""

    def __init__(self, first: int, dimension: int) -> None:
        """Begin without rows."""
        self.first, self.worst = first, 0.0
        self._vectors = np.empty((BLOCK_ROWS, dimension), np.float32)  # memory is taken as it is written
        kind = faiss.ScalarQuantizer.QT_8bit_direct_signed
        self._index = faiss.IndexScalarQuantizer(dimension, kind, faiss.METRIC_INNER_PRODUCT)
        self._codes = np.empty((0, dimension), np.uint8)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self._index.ntotal)

    def put(self, offsets: Places, vectors: Floats, codes: Codes, worst: float) -> None:
        """Write vectors and their codes over rows and behind the last one."""
        self._make_room(int(offsets.max()) + 1)
        self._vectors[offsets] = vectors
        self._codes[offsets] = codes
        self.worst = max(self.worst, worst)

    def _make_room(self, rows: int) -> None:
        if rows > len(self._codes):
            shape = min(max(2 * rows, _FIRST_ROWS), BLOCK_ROWS), self._vectors.shape[1]
            self._index.codes.resize(shape[0] * shape[1])
            self._codes = faiss.rev_swig_ptr(self._index.codes.data(), shape[0] * shape[1]).reshape(shape)
        self._index.ntotal = max(self.rows, rows)

    def move_last(self, block: "Block", offset: int) -> None:
        """Write the last row over a row of a block and drop it here."""
        last = self.rows - 1
        block._vectors[offset], block._codes[offset] = self._vectors[last], self._codes[last]  # noqa: SLF001
        block.worst = max(block.worst, self.worst)
        self._index.ntotal = last

    def vector(self, place: int) -> Floats:
        """Return the vector in a place."""
        vector: Floats = self._vectors[place - self.first]
        return vector

    def scan(self, probes: Floats, fetched: int, allowed: Mask | None = None) -> list["Scan"]:
        """Return the best rows for each probe of (N, dimension), whose numbers are whole.

        Only then do faiss' kernels agree: for some dimensions and processors they cut fractions off.
        `allowed` says of each place, those of other blocks included, whether it counts.
        """
        own = None if allowed is None else allowed[self.first : self.first + self.rows]
        rows = self.rows if own is None else int(np.count_nonzero(own))
        sums, offsets = self._search(probes, min(fetched, rows), own)
        return [
            Scan(self, places, row.astype(np.float64), rows)
            for places, row in zip(offsets + self.first, sums, strict=True)
        ]

    def _search(self, probes: Floats, fetched: int, own: Mask | None) -> tuple[Floats, Places]:
        if own is None:
            return self._index.search(probes, fetched)
        if not fetched:
            return np.empty((len(probes), 0), np.float32), np.empty((len(probes), 0), np.int64)
        bits, parameters = np.packbits(own, bitorder="little"), faiss.SearchParameters()
        selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
        parameters.sel = selector  # which does not keep it alive, nor that its bits
        return self._index.search(probes, fetched, params=parameters)

    def score(self, places: Places, probe: Scores) -> Scores:
        """Return the products of vectors with a probe."""
        scores: Scores = self._vectors[places - self.first].astype(np.float64) @ probe
        return scores


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single truth
class Scan:
    """The rows of a block with the highest products of integers (N,), highest first, of `rows` that count."""

    block: Block
    places: Places
    sums: Scores
    rows: int

    @property
    def complete(self) -> bool:
        """Whether all rows of the block that count are there."""
        return len(self.places) == self.rows
