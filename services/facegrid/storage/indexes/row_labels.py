"""What restricts a search: of each row the labels and the subject, in columns that move with the rows."""

from array import array
from collections.abc import Collection, Sequence

import numpy as np

from facegrid.domain.filters import Restriction
from facegrid.domain.labels import Labels
from facegrid.storage.indexes.label_sets import LabelSets, Mask

_BUCKETS = 2**20


class RowLabels:
    """The labels and subjects of rows: 8 bytes a row, and what the distinct sets of labels take.

    A subject is found by a hash that others may share: 10,000 of a million are picked out by a hundredth of
    the rows, of which the ids are compared.
    """

    def __init__(self) -> None:
        """Begin without rows."""
        self._sets = LabelSets()
        self._numbers = array("i")
        self._buckets = array("i")

    def put(self, place: int, subject_id: str, labels: Labels) -> None:
        """Write a row over one that is there, or behind the last one."""
        number, bucket = self._sets.take(labels), hash(subject_id) % _BUCKETS
        if place == len(self._numbers):
            self._numbers.append(number)
            self._buckets.append(bucket)
            return
        self._sets.release(self._numbers[place])
        self._numbers[place], self._buckets[place] = number, bucket
        self._tidy()

    def checksum(self, place: int) -> int:
        """Return the checksum of a row's labels."""
        return self._sets.checksum(self._numbers[place])

    def remove(self, place: int) -> None:
        """Move the last row into a place."""
        self._sets.release(self._numbers[place])
        for column in (self._numbers, self._buckets):
            column[place] = column[-1]
            column.pop()
        self._tidy()

    def _tidy(self) -> None:
        if self._sets.wasteful:
            self._numbers = self._sets.prune(self._numbers)

    def allowed(self, restriction: Restriction, subject_ids: Sequence[str]) -> Mask:
        """Return for each row, given the rows' subjects, whether a search may find it."""
        wanted = restriction.subject_ids
        allowed = np.full(len(self._numbers), wanted is None)
        if wanted is not None:
            allowed[self._places_of(wanted, subject_ids)] = True
        allowed[self._places_of(restriction.excluded, subject_ids)] = False
        if restriction.filter is not None and len(allowed):
            allowed &= self._sets.matching(restriction.filter)[np.asarray(self._numbers)]
        return allowed

    def _places_of(self, wanted: Collection[str], subject_ids: Sequence[str]) -> list[int]:
        if not (wanted and self._buckets):
            return []
        buckets = np.zeros(_BUCKETS, bool)
        buckets[[hash(one) % _BUCKETS for one in wanted]] = True
        likely = np.flatnonzero(buckets[np.asarray(self._buckets)]).tolist()
        return [place for place in likely if subject_ids[place] in wanted]
