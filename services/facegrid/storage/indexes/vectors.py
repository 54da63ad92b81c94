"""Vectors that are scanned as 8-bit integers and scored as float32: few are read, and none is missed."""

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from facegrid.domain.faces import Floats
from facegrid.storage.indexes.blocks import (
    BLOCK_ROWS,
    Block,
    Codes,
    Mask,
    Places,
    Scan,
    Scores,
    encode_steps,
)

_STEPS = 127
_WIDEST = 6.0  # standard deviations of an element of a random vector of length 1
_SMALLEST = 1e-30  # of a probe of zeros
_FETCHED, _FETCHED_PER_BLOCK, _FETCHED_AGAIN = 512, 64, 4
_FEW = 1 / 64  # of the rows: to score them all takes as long as to scan the others


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single truth
class EncodedVectors:
    """Vectors of float32 (N, dimension), their codes, these codes' errors (N,) and the longest's length."""

    vectors: Floats
    codes: Codes
    errors: Scores
    longest: float


class ScannedVectors:
    """Vectors of about length 1 in the places 0 to N - 1, compared with probes by their float32 products.

    Beside a vector x stand integers c that mean s c, with one step s for all; a probe q is scanned with
    integers g that mean t g. By the triangle inequality and that of Cauchy and Schwarz

        |q·x - t g·s c|  =  |q·(x - s c) + (q - t g)·s c|  ≤  |q| |x - s c| + |q - t g| |s c|.

    Up to 1,040 dimensions float32 adds up such integers exactly, for no sum passes 2^24; beyond, it is off by
    r |t g| |s c| at most, r = d u / (1 - d u), u = 2^-24 (Higham, Accuracy and Stability of Numerical
    Algorithms, 3.1). So each product is known to lie within a bound b of the scanned one. The k-th highest
    of scanned product - b, over any rows, is a floor that k products reach, and a row whose scanned
    product + b is below it is not among the best k. Every other row is scored in float64: the order and the
    scores are those of the float32 vectors, whatever the codes.

    Nothing may change while a search or another change is under way.
    """

    def __init__(self, dimension: int, scanners: Executor, workers: int) -> None:
        """Take the vectors' length, and threads with their number, that help the one which searches.

        OpenMP may use one thread in each of them.
        """
        self._dimension, self._scanners, self._workers = dimension, scanners, workers
        self._step = min(1.0, _WIDEST / math.sqrt(dimension)) / _STEPS
        self._blocks: list[Block] = []
        self._errors = np.empty(0)
        self._longest = 0.0

    def encode(self, vectors: Floats) -> EncodedVectors:
        """Return what `put` stores: most of the work of adding, and it changes nothing."""
        steps = np.rint(vectors * np.float32(1 / self._step)).clip(-_STEPS, _STEPS)
        codes = encode_steps(steps)
        steps *= np.float32(self._step)
        lengths, rounding = _lengths(steps), _rounding(self._dimension)
        errors = (1 + rounding) * _lengths(vectors - steps) + rounding * lengths
        return EncodedVectors(vectors, codes, errors, (1 + rounding) * float(lengths.max(initial=0)))

    def put(self, places: Places, encoded: EncodedVectors) -> None:
        """Write vectors into places, those that are there and, without a gap, the next ones.

        Of several for one place the last stands.
        """
        numbers = places // BLOCK_ROWS
        for number in np.unique(numbers):
            if number == len(self._blocks):
                self._add_block()
            at = numbers == number
            block = self._blocks[number]
            block.put(
                places[at] - block.first, encoded.vectors[at], encoded.codes[at], encoded.errors[at].max()
            )
        self._errors[places] = encoded.errors
        self._longest = max(self._longest, encoded.longest)

    def _add_block(self) -> None:
        self._blocks.append(Block(len(self._blocks) * BLOCK_ROWS, self._dimension))
        self._errors.resize(len(self._blocks) * BLOCK_ROWS, refcheck=False)

    def remove(self, place: int) -> None:
        """Move the last vector into a place."""
        block, last = self._blocks[place // BLOCK_ROWS], self._blocks[-1]
        self._errors[place] = self._errors[last.first + last.rows - 1]
        last.move_last(block, place - block.first)
        if not last.rows:
            self._blocks.pop()

    def vector(self, place: int) -> Floats:
        """Return the vector in a place."""
        return self._blocks[place // BLOCK_ROWS].vector(place)

    def search(self, probes: Floats, limit: int, allowed: Mask | None = None) -> list[tuple[Places, Scores]]:
        """Return for each probe of (N, dimension) the places and scores of the `limit` best vectors.

        `allowed` says of each place whether it counts.
        """
        if not (self._blocks and len(probes)):
            return [(np.empty(0, np.int64), np.empty(0)) for _ in probes]
        queries = [_query(probe, self._step) for probe in probes.astype(np.float64)]
        if allowed is not None and np.count_nonzero(allowed) <= _FEW * len(allowed):
            places = np.flatnonzero(allowed)
            return [self._rank(query, places, limit) for query in queries]
        scans = self._scan(np.stack([query.steps for query in queries]), limit, allowed)
        return [self._best(query, found, limit, allowed) for query, found in zip(queries, scans, strict=True)]

    def _scan(self, probes: Floats, limit: int, allowed: Mask | None) -> list[tuple[Scan, ...]]:
        """Return for each probe a scan of every block, in any order."""
        fetched = _FETCHED_PER_BLOCK + (_FETCHED + 2 * limit) // len(self._blocks)
        blocks = iter(self._blocks)  # each thread takes the next one, so that a slow thread holds up none

        def scan_some() -> list[list[Scan]]:
            return [block.scan(probes, fetched, allowed) for block in blocks]

        others = [
            self._scanners.submit(scan_some) for _ in range(min(len(self._blocks), self._workers + 1) - 1)
        ]
        scans = scan_some()
        for other in others:
            if not other.cancel():  # a thread that did not come to begin has nothing left to do
                scans += other.result()
        return list(zip(*scans, strict=True))

    def _best(
        self, query: "_Query", scans: Sequence[Scan], limit: int, allowed: Mask | None
    ) -> tuple[Places, Scores]:
        places, sums, bounds = self._bounded(query, scans)
        floor = _highest(sums - bounds, limit)
        scans = [self._scan_down_to(query, scan, floor, allowed) for scan in scans]
        places, sums, bounds = self._bounded(query, scans)
        return self._rank(query, np.sort(places[sums + bounds >= floor]), limit)

    def _rank(self, query: "_Query", places: Places, limit: int) -> tuple[Places, Scores]:
        """Return the best of some places, which are in order."""
        scores = self._score(query, places)
        best = np.argsort(-scores, kind="stable")[:limit]
        return places[best], scores[best]

    def _bounded(self, query: "_Query", scans: Sequence[Scan]) -> tuple[Places, Scores, Scores]:
        """Return the places that were scanned, their products, and by how much these may be wrong."""
        places = np.concatenate([scan.places for scan in scans])
        sums = np.concatenate([scan.sums for scan in scans])
        return places, query.unit * sums, query.length * self._errors[places] + query.error * self._longest

    def _scan_down_to(self, query: "_Query", scan: Scan, floor: float, allowed: Mask | None) -> Scan:
        """Scan a block again where a row that was not fetched may reach the floor."""
        bound = query.length * scan.block.worst + query.error * self._longest
        while not scan.complete and query.unit * scan.sums[-1] + bound >= floor:
            (scan,) = scan.block.scan(query.steps[None], _FETCHED_AGAIN * len(scan.places), allowed)
        return scan

    def _score(self, query: "_Query", places: Places) -> Scores:
        parts = np.split(places, np.searchsorted(places, [block.first for block in self._blocks[1:]]))
        return np.concatenate(
            [block.score(part, query.probe) for block, part in zip(self._blocks, parts, strict=True)]
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Query:
    """A probe and its integers; `unit` is the product that a sum of 1 stands for, `error` is |q - t g|."""

    probe: Scores
    steps: Floats
    unit: float
    length: float
    error: float


def _query(probe: Scores, row_step: float) -> _Query:
    step = max(float(np.abs(probe).max()), _SMALLEST) / _STEPS
    steps = np.rint(probe / step)
    rounding = _rounding(len(probe))
    length, error = float(np.linalg.norm(probe)), float(np.linalg.norm(probe - step * steps))
    return _Query(
        probe, steps.astype(np.float32), step * row_step, (1 + rounding) * length, error + rounding * length
    )


def _rounding(dimension: int) -> float:
    """Return more than float32 loses, relatively, in a sum of so many products of rounded terms."""
    return (dimension + 8) * 2.0**-23


def _highest(values: Scores, rank: int) -> float:
    return float(np.partition(values, -rank)[-rank]) if len(values) >= rank else -math.inf


def _lengths(vectors: Floats) -> Scores:
    lengths: Scores = np.sqrt(np.einsum("ij,ij->i", vectors, vectors)).astype(np.float64)
    return lengths
