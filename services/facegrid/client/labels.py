"""Labels as plain values, and the messages that they become."""

from collections.abc import Mapping, Sequence

from facegrid.v1 import types_pb2 as pb
from facegrid.v1.gallery_service_pb2 import UpdateEncounterRequest

Value = str | int | float | bool


def to_value(value: Value) -> pb.Value:
    """Return a value of metadata, or of a filter, by its type."""
    match value:
        case bool():
            return pb.Value(flag=value)
        case int():
            return pb.Value(integer=value)
        case float():
            return pb.Value(number=value)
        case _:
            return pb.Value(text=value)


def from_value(value: pb.Value) -> Value:
    """Return a value as Python has it."""
    kind = value.WhichOneof("kind")
    found: Value = getattr(value, kind) if kind else ""
    return found


def metadata_messages(metadata: Mapping[str, Value]) -> dict[str, pb.Value]:
    """Return metadata as requests hold it."""
    return {key: to_value(value) for key, value in metadata.items()}


def update_request(
    metadata: Mapping[str, Value] | None,
    sub_galleries: Sequence[str] | None,
    status: pb.Status.ValueType | None,
) -> UpdateEncounterRequest:
    """Return a request, of no encounter yet, that changes what is not None."""
    request = UpdateEncounterRequest(
        metadata=metadata_messages(metadata or {}),
        sub_galleries=sub_galleries,
        status=status or pb.STATUS_UNSPECIFIED,
    )
    given = {"metadata": metadata, "sub_galleries": sub_galleries, "status": status}
    request.update_mask.paths.extend(name for name, value in given.items() if value is not None)
    return request
