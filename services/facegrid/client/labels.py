"""Values of metadata, between Python's and those of the API."""

from facegrid.v1 import types_pb2 as pb

Value = str | int | float | bool


def to_value(value: Value) -> pb.Value:
    """Return a value as the API has it."""
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
