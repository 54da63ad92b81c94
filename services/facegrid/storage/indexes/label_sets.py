"""Sets of labels in columns of numbers, so that a filter reads a million of them in milliseconds."""

from array import array
from collections.abc import Iterator, Sequence
from functools import reduce
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.filters import AllOf, AnyOf, Between, Equals, Filter, InSubGallery, NoneOf, OneOf
from facegrid.domain.labels import NO_LABELS, Labels, Value, labels_checksum

Mask = NDArray[np.bool_]
Numbers: "type[array[int]]" = array

_MOST_KNOWN = 65_536  # sets that are recognised when they come again: 10 MB
_MOST_UNUSED = 1024
_SUB_GALLERIES = ""  # no key of metadata is empty


class LabelSets:
    """The metadata and sub-galleries that rows have, each set under a number; set 0 is empty.

    A column holds the values of one key and one type: one entry for each set that has one, so that memory
    is 8 bytes an entry and a filter's leaf reads one column. Sets that no row has are kept until they
    outnumber the others.
    """

    def __init__(self) -> None:
        """Begin with the empty set."""
        self._columns: dict[tuple[str, type], _Column] = {}
        self._rows, self._unused = Numbers("i", [0]), 1
        self._checksums = Numbers("I", [0])
        self._known: dict[bytes, int] = {}

    def take(self, labels: Labels) -> int:
        """Return the number of a set, and count one row more that has it."""
        number = 0 if labels is NO_LABELS else self._find(labels)
        self._unused -= not self._rows[number]
        self._rows[number] += 1
        return number

    def checksum(self, number: int) -> int:
        """Return the checksum of a set."""
        return self._checksums[number]

    def release(self, number: int) -> None:
        """Count one row less."""
        self._rows[number] -= 1
        self._unused += not self._rows[number]

    def _find(self, labels: Labels) -> int:
        facts = list(_facts(labels))
        name = blake2b(repr(facts).encode(), digest_size=16).digest()
        if name in self._known:
            return self._known[name]
        number = len(self._rows)
        self._rows.append(0)
        self._checksums.append(labels_checksum(labels))
        self._unused += 1
        for key, value in facts:
            self._columns.setdefault((key, type(value)), _Column(type(value))).add(number, value)
        if len(self._known) < _MOST_KNOWN:
            self._known[name] = number
        return number

    def matching(self, wanted: Filter) -> Mask:  # noqa: PLR0911  # one for each kind of filter
        """Return for each number whether its set passes a filter."""
        match wanted:
            case Equals(key, value):
                return self._having(key, [value])
            case OneOf(key, values):
                return self._having(key, values)
            case InSubGallery(names):
                return self._having(_SUB_GALLERIES, names)
            case Between(key):
                return self._within(key, wanted)
            case AllOf(parts):
                return reduce(np.logical_and, map(self.matching, parts))
            case AnyOf(parts):
                return reduce(np.logical_or, map(self.matching, parts))
            case NoneOf(parts):
                return ~reduce(np.logical_or, map(self.matching, parts))

    def _having(self, key: str, values: Sequence[Value]) -> Mask:
        mask = np.zeros(len(self._rows), bool)
        for kind in {type(value) for value in values}:
            if column := self._columns.get((key, kind)):
                mask[column.sets_with([value for value in values if type(value) is kind])] = True
        return mask

    def _within(self, key: str, limits: Between) -> Mask:
        mask = np.zeros(len(self._rows), bool)
        if column := self._columns.get((key, limits.kind)):
            mask[column.sets_within(limits)] = True
        return mask

    @property
    def wasteful(self) -> bool:
        """Whether most sets have no row."""
        return self._unused > max(_MOST_UNUSED, len(self._rows) // 2)

    def prune(self, numbers: "array[int]") -> "array[int]":
        """Forget the sets without rows; takes the rows' numbers and returns what they are from now on."""
        rows = np.asarray(self._rows)
        kept = rows > 0
        kept[0] = True
        renumbered = np.cumsum(kept, dtype=np.int32) - np.int32(1)
        self._columns = {
            kind: column for kind, column in self._columns.items() if column.prune(kept, renumbered)
        }
        self._known = {name: int(renumbered[one]) for name, one in self._known.items() if kept[one]}
        self._checksums = Numbers("I", np.asarray(self._checksums)[kept].tobytes())
        self._rows, self._unused = Numbers("i", rows[kept].tobytes()), int(not rows[0])
        return Numbers("i", renumbered[np.asarray(numbers)].tobytes())


class _Column:
    """The sets that have a key with a value of one type, and the codes of these values."""

    def __init__(self, kind: type) -> None:
        self._values: Any = array({int: "q", float: "d"}[kind]) if kind in {int, float} else []
        self._code_of: dict[Value, int] = {}
        self._sets, self._codes = Numbers("i"), Numbers("i")

    def add(self, number: int, value: Value) -> None:
        code = self._code_of.setdefault(value, len(self._code_of))
        if code == len(self._values):
            self._values.append(value)
        self._sets.append(number)
        self._codes.append(code)

    def sets_with(self, values: Sequence[Value]) -> NDArray[np.int32]:
        wanted = np.zeros(len(self._values), bool)
        wanted[[self._code_of[value] for value in values if value in self._code_of]] = True
        return self._sets_of(wanted)

    def sets_within(self, limits: Between) -> NDArray[np.int32]:
        values = np.asarray(self._values, object if isinstance(self._values, list) else None)
        wanted = np.ones(len(values), bool)
        if limits.minimum is not None:
            wanted &= values >= limits.minimum
        if limits.maximum is not None:
            wanted &= values <= limits.maximum
        return self._sets_of(wanted)

    def _sets_of(self, wanted: Mask) -> NDArray[np.int32]:
        sets: NDArray[np.int32] = np.asarray(self._sets)[wanted[np.asarray(self._codes)]]
        return sets

    def prune(self, kept: Mask, renumbered: NDArray[np.int32]) -> bool:
        """Forget sets; say whether any is left."""
        sets, left = np.asarray(self._sets), kept[self._sets]
        used, codes = np.unique(np.asarray(self._codes)[left], return_inverse=True)
        values = [self._values[code] for code in used.tolist()]
        self._values = values if isinstance(self._values, list) else array(self._values.typecode, values)
        self._code_of = {value: code for code, value in enumerate(values)}
        self._sets = Numbers("i", renumbered[sets[left]].tobytes())
        self._codes = Numbers("i", codes.astype(np.int32).tobytes())
        return bool(values)


def _facts(labels: Labels) -> Iterator[tuple[str, Value]]:
    yield from labels.metadata.items()
    for name in sorted(set(labels.sub_galleries)):
        yield _SUB_GALLERIES, name
