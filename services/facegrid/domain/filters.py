"""Which rows a search may find: filters over labels, and the subjects that are meant or left out."""

from collections.abc import Iterator
from dataclasses import dataclass

from facegrid.domain.errors import InvalidField
from facegrid.domain.labels import Labels, Value, check_value
from facegrid.domain.names import check_name

_DEEPEST, _MOST_FILTERS, _MOST_VALUES = 6, 64, 256


@dataclass(frozen=True, slots=True)
class Equals:
    """The value of a key is this one, and of its type: 1, 1.0, True and "1" are four values."""

    key: str
    value: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """The value of a key equals one of several."""

    key: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """The value of a key is of the limits' one type and within them; both belong to the range.

    Texts are in the order of their code points.
    """

    key: str
    minimum: Value | None = None
    maximum: Value | None = None

    @property
    def kind(self) -> type:
        """The type of the limits."""
        return type(self.maximum if self.minimum is None else self.minimum)


@dataclass(frozen=True, slots=True)
class InSubGallery:
    """The encounter belongs to one of several sub-galleries."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Each part holds."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One part holds, or several."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class NoneOf:
    """No part holds."""

    parts: tuple["Filter", ...]


Filter = Equals | OneOf | Between | InSubGallery | AllOf | AnyOf | NoneOf
_NAMES = {
    Equals: "equals",
    OneOf: "one_of",
    Between: "range",
    InSubGallery: "sub_galleries",
    AllOf: "all_of",
    AnyOf: "any_of",
    NoneOf: "none_of",
}


@dataclass(frozen=True, slots=True)
class Restriction:
    """The rows that a search may find: of some subjects alone, of none of others, under a filter."""

    filter: Filter | None = None
    subject_ids: frozenset[str] | None = None
    excluded: frozenset[str] = frozenset()

    def allows(self, subject_id: str, labels: Labels) -> bool:
        """Say whether a row may be found: what every index must agree with."""
        return (
            (self.subject_ids is None or subject_id in self.subject_ids)
            and subject_id not in self.excluded
            and (self.filter is None or matches(self.filter, labels))
        )


UNRESTRICTED = Restriction()


def matches(wanted: Filter, labels: Labels) -> bool:  # noqa: PLR0911  # one for each kind of filter
    """Say whether labels pass a filter; a key that is missing equals nothing and lies in no range."""
    match wanted:
        case Equals(key, value):
            return _is_same(labels.metadata.get(key), value)
        case OneOf(key, values):
            return any(_is_same(labels.metadata.get(key), value) for value in values)
        case Between(key):
            return _lies_in(labels.metadata.get(key), wanted)
        case InSubGallery(names):
            return not set(names).isdisjoint(labels.sub_galleries)
        case AllOf(parts):
            return all(matches(part, labels) for part in parts)
        case AnyOf(parts):
            return any(matches(part, labels) for part in parts)
        case NoneOf(parts):
            return not any(matches(part, labels) for part in parts)


def _is_same(held: Value | None, value: Value) -> bool:
    return type(held) is type(value) and held == value


def _lies_in(held: Value | None, limits: Between) -> bool:
    # Of one type, which mypy cannot know.
    return (
        type(held) is limits.kind
        and (limits.minimum is None or limits.minimum <= held)  # type: ignore[operator]
        and (limits.maximum is None or held <= limits.maximum)  # type: ignore[operator]
    )


def check_filter(wanted: Filter, field: str) -> Filter:
    """Return a filter unchanged. Raises InvalidField, with its place, for what no index takes."""
    for number, (part, path, depth) in enumerate(_walk(wanted, field, 1)):
        if number == _MOST_FILTERS or depth > _DEEPEST:
            raise InvalidField(
                f"{field} has more than {_MOST_FILTERS} parts or is nested deeper than {_DEEPEST}; "
                "simplify it",
                field=path,
            )
        _check_part(part, path)
    return wanted


def _walk(part: Filter, field: str, depth: int) -> Iterator[tuple[Filter, str, int]]:
    path = f"{field}.{_NAMES[type(part)]}"
    yield part, path, depth
    if isinstance(part, AllOf | AnyOf | NoneOf):
        for number, one in enumerate(part.parts):
            yield from _walk(one, f"{path}.filters[{number}]", depth + 1)


def _check_part(part: Filter, path: str) -> None:
    match part:
        case Equals(key, value):
            check_value(value, f"{path}.value")
        case OneOf(key, values):
            _check_count(values, f"{path}.values")
            for number, value in enumerate(values):
                check_value(value, f"{path}.values[{number}]")
        case Between(key):
            _check_limits(part, path)
        case InSubGallery(names):
            _check_count(names, f"{path}.names")
            for number, name in enumerate(names):
                check_name(name, f"{path}.names[{number}]")
            return
        case AllOf(parts) | AnyOf(parts) | NoneOf(parts):
            _check_count(parts, f"{path}.filters")
            return
    check_name(key, f"{path}.key")


def _check_count(listed: tuple[object, ...], path: str) -> None:
    if not 1 <= len(listed) <= _MOST_VALUES:
        raise InvalidField(f"{path} has {len(listed)} entries; send 1 to {_MOST_VALUES}", field=path)


def _check_limits(limits: Between, path: str) -> None:
    given = [value for value in (limits.minimum, limits.maximum) if value is not None]
    for value in given:
        check_value(value, path)
    if len({type(value) for value in given}) != 1 or isinstance(given[0], bool):
        raise InvalidField(
            f"{path} needs a minimum, a maximum or both, of one type: text, integer or number", field=path
        )
