"""Between the labels of the API and those of the domain."""

from collections.abc import Iterable, Mapping

from facegrid.domain.errors import InvalidField
from facegrid.domain.labels import NO_LABELS, Labels, Status, Value
from facegrid.v1 import types_pb2 as pb

_STATUSES = {
    pb.STATUS_UNSPECIFIED: Status.ACTIVE,
    pb.STATUS_ACTIVE: Status.ACTIVE,
    pb.STATUS_INACTIVE: Status.INACTIVE,
}


def labels_of(metadata: Mapping[str, pb.Value], sub_galleries: Iterable[str], status: int) -> Labels:
    """Return labels, not yet checked. Raises InvalidField for what the API does not know."""
    values = {key: value_of(value, f"metadata[{key}]") for key, value in metadata.items()}
    labels = Labels(values, tuple(sub_galleries), status_of(status))
    return NO_LABELS if labels == NO_LABELS else labels


def status_of(number: int) -> Status:
    """Return a status. Raises InvalidField for a number that the API does not know."""
    if number not in _STATUSES:
        raise InvalidField(f"status is {number}, which is no Status", field="status")
    return _STATUSES[pb.Status.ValueType(number)]


def status_to_proto(status: Status) -> pb.Status.ValueType:
    """Return a status as clients see it."""
    return pb.STATUS_ACTIVE if status is Status.ACTIVE else pb.STATUS_INACTIVE


def value_of(sent: pb.Value, field: str) -> Value:
    """Return a value. Raises InvalidField where it has none."""
    match sent.WhichOneof("kind"):
        case "text":
            return sent.text
        case "integer":
            return sent.integer
        case "number":
            return sent.number
        case "flag":
            return sent.flag
        case _:
            raise InvalidField(f"{field} holds no value; set text, integer, number or flag", field=field)


def metadata_to_proto(metadata: Mapping[str, Value]) -> dict[str, pb.Value]:
    """Return metadata as clients see it."""
    return {key: _value_to_proto(value) for key, value in metadata.items()}


def _value_to_proto(value: Value) -> pb.Value:
    match value:
        case bool():
            return pb.Value(flag=value)
        case int():
            return pb.Value(integer=value)
        case float():
            return pb.Value(number=value)
        case _:
            return pb.Value(text=value)
