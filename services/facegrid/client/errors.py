"""What a failed call tells a client."""

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


class CallFailed(Exception):
    """A call that the server refused or did not answer.

    `reason` is a value of `facegrid.v1.ErrorReason` without its prefix; empty where the server sent none.
    """

    def __init__(self, code: grpc.StatusCode, reason: str, message: str, field: str = "") -> None:
        """Keep the status code, the reason, the sentence and the field at fault."""
        super().__init__(message)
        self.code, self.reason, self.message, self.field = code, reason, message, field

    def __str__(self) -> str:
        """Return the sentence with its reason."""
        return f"{self.message} ({self.reason or self.code.name})"


def call_failed(error: grpc.Call, target: str) -> CallFailed:
    """Read the details of a failed call to a server, which is also the exception that it raised."""
    code, message = error.code(), error.details() or ""
    reason, field = "", ""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad):
            field = bad.field_violations[0].field
    if not reason and code is grpc.StatusCode.UNAVAILABLE:
        message = f"no server answers at {target}; start one with facegrid serve, or check the address"
    if not reason and code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in message:
        reason, message = "MESSAGE_TOO_LARGE", "the request is larger than the server accepts"
    return CallFailed(code, reason, message, field)
