"""The table of errors is complete."""

import pickle
from collections.abc import Iterator

import grpc
import pytest
from google.rpc import error_details_pb2

from facegrid.domain.errors import FacegridError, MessageTooLarge, StoreUnavailable, SubjectNotFound
from facegrid.gateway.status import rich_status, status_code
from facegrid.v1.error_reason_pb2 import ErrorReason


def _leaves(kind: type[FacegridError] = FacegridError) -> Iterator[type[FacegridError]]:
    children = kind.__subclasses__()
    if not children:
        yield kind
    for child in children:
        yield from _leaves(child)


@pytest.mark.parametrize("kind", list(_leaves()))
def test_each_error_has_a_code_and_a_reason_of_the_api(kind: type[FacegridError]) -> None:
    """No error answers INTERNAL, and none has a reason that the proto does not list."""
    assert status_code(kind("x")) is not grpc.StatusCode.INTERNAL
    assert ErrorReason.Value(f"ERROR_REASON_{kind.reason}") > 0


def test_each_reason_of_the_api_has_an_error() -> None:
    """The proto lists no reason that nothing raises."""
    known = {f"ERROR_REASON_{kind.reason}" for kind in _leaves()}
    assert set(ErrorReason.keys()) == known | {
        f"ERROR_REASON_{name}" for name in ("UNSPECIFIED", "INTERNAL", "MISCONFIGURED")
    }


@pytest.mark.parametrize("kind", list(_leaves()))
def test_an_error_survives_a_process_border(kind: type[FacegridError]) -> None:
    """Message, field and figures come out of a pickle as they went in."""
    error = kind("do this", field="a.b", metadata={"value": "7"})
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert (type(copy), copy.message, copy.field, copy.metadata) == (kind, "do this", "a.b", {"value": "7"})


def test_the_most_derived_class_decides_the_code() -> None:
    """A message over the limit is INVALID input by kind and RESOURCE_EXHAUSTED by its own entry."""
    assert status_code(MessageTooLarge("x")) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert status_code(SubjectNotFound("x")) is grpc.StatusCode.NOT_FOUND


def test_what_may_succeed_later_says_when_to_retry() -> None:
    """UNAVAILABLE carries RetryInfo."""
    details = rich_status(StoreUnavailable("x")).details
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in details)
    assert retry.retry_delay.seconds > 0
