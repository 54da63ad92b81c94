"""The one table from domain errors to gRPC status codes, and the details that an answer carries."""

import grpc
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from facegrid.domain import errors
from facegrid.domain.errors import FacegridError

ERROR_DOMAIN = "facegrid.v1"

# The most derived class that stands here decides.
_CODES: dict[type[FacegridError], grpc.StatusCode] = {
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.MessageTooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.Conflict: grpc.StatusCode.ALREADY_EXISTS,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.NotPermitted: grpc.StatusCode.PERMISSION_DENIED,
    errors.WrongState: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.StorageFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
_RETRY_AFTER_S = 1


def status_code(error: FacegridError) -> grpc.StatusCode:
    """Return the status code of a domain error."""
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)


def rich_status(error: FacegridError) -> status_pb2.Status:
    """Return the status with ErrorInfo, and BadRequest or RetryInfo where they say more."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=error.metadata)
    ]
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, errors.Unavailable | errors.Overloaded):
        details.append(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=_RETRY_AFTER_S)))
    return _status(status_code(error), error.message, details)


def internal_status(request_id: str) -> status_pb2.Status:
    """Return the answer to a fault: no detail but the id under which the log has it."""
    info = error_details_pb2.ErrorInfo(reason="INTERNAL", domain=ERROR_DOMAIN)
    return _status(grpc.StatusCode.INTERNAL, f"the server failed; its log has request {request_id}", [info])


def misconfigured_status(request_id: str) -> status_pb2.Status:
    """Return the answer where the server's operator has to mend something, which the log names."""
    info = error_details_pb2.ErrorInfo(reason="MISCONFIGURED", domain=ERROR_DOMAIN)
    message = f"the server must be mended before it can do this; its log says what, for request {request_id}"
    return _status(grpc.StatusCode.FAILED_PRECONDITION, message, [info])


def _status(code: grpc.StatusCode, message: str, details: list[Message]) -> status_pb2.Status:
    packed = []
    for detail in details:
        entry = any_pb2.Any()
        entry.Pack(detail)
        packed.append(entry)
    return status_pb2.Status(code=code.value[0], message=message, details=packed)
