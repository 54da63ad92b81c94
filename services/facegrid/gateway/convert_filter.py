"""From the filters of the API to those of the domain."""

from collections.abc import Sequence

from facegrid.domain.errors import InvalidField
from facegrid.domain.filters import (
    AllOf,
    AnyOf,
    Between,
    Equals,
    Filter,
    InSubGallery,
    NoneOf,
    OneOf,
    check_filter,
)
from facegrid.domain.labels import Value
from facegrid.gateway.convert_labels import value_of
from facegrid.v1 import filter_pb2 as pb
from facegrid.v1 import types_pb2


def filter_of(sent: pb.Filter, field: str) -> Filter:
    """Return a filter. Raises InvalidField with the path of what is at fault."""
    return check_filter(_filter_of(sent, field), field)


def _filter_of(sent: pb.Filter, field: str) -> Filter:  # noqa: PLR0911  # one for each kind of filter
    kind = sent.WhichOneof("kind")
    path = f"{field}.{kind}"
    match kind:
        case "equals":
            return Equals(sent.equals.key, value_of(sent.equals.value, f"{path}.value"))
        case "one_of":
            return OneOf(sent.one_of.key, _values_of(sent.one_of.values, path))
        case "range":
            return _range_of(sent.range, path)
        case "sub_galleries":
            return InSubGallery(tuple(sent.sub_galleries.names))
        case "all_of":
            return AllOf(_parts_of(sent.all_of, path))
        case "any_of":
            return AnyOf(_parts_of(sent.any_of, path))
        case "none_of":
            return NoneOf(_parts_of(sent.none_of, path))
    raise InvalidField(f"{field} is empty; set one condition", field=field)


def _values_of(values: Sequence[types_pb2.Value], path: str) -> tuple[Value, ...]:
    return tuple(value_of(value, f"{path}.values[{number}]") for number, value in enumerate(values))


def _range_of(sent: pb.Range, path: str) -> Between:
    return Between(
        sent.key,
        value_of(sent.minimum, f"{path}.minimum") if sent.HasField("minimum") else None,
        value_of(sent.maximum, f"{path}.maximum") if sent.HasField("maximum") else None,
    )


def _parts_of(sent: pb.Filters, path: str) -> tuple[Filter, ...]:
    return tuple(_filter_of(one, f"{path}.filters[{number}]") for number, one in enumerate(sent.filters))
