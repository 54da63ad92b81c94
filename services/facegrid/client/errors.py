"""What a failed call tells a client."""

from collections.abc import Mapping

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


class CallFailed(Exception):
    """A call that the server refused or did not answer.

    `reason` is a value of `facegrid.v1.ErrorReason` without its prefix; empty where the server sent none.
    `metadata` holds the figures that a reason comes with; the API's description of the reason lists them.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        field: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Keep the status code, the reason, the sentence, the field at fault and the figures."""
        super().__init__(message)
        self.code, self.reason, self.message, self.field = code, reason, message, field
        self.metadata = dict(metadata or {})

    def __str__(self) -> str:
        """Return the sentence with its reason."""
        return f"{self.message} ({self.reason or self.code.name})"


def call_failed(error: grpc.Call, target: str) -> CallFailed:
    """Read the details of a failed call to a server, which is also the exception that it raised."""
    code, message = error.code(), error.details() or ""
    reason, field, metadata = "", "", dict[str, str]()
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad):
            field = bad.field_violations[0].field
    if not reason and code is grpc.StatusCode.UNAVAILABLE:
        message = (
            f"no server answers at {target}; start one with facegrid serve, or check the address and, where "
            "it asks for them, the certificates"
        )
    if not reason and code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in message:
        reason, message = "MESSAGE_TOO_LARGE", "the request is larger than the server accepts"
    return CallFailed(code, reason, message, field, metadata)
