"""What the tests of the gateway hold of a running server, and what they read off a refusal."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from facegrid.gateway.server import GatewayServer
from facegrid.metrics import Metrics
from facegrid.v1.face_service_pb2_grpc import FaceServiceStub
from facegrid.v1.gallery_service_pb2_grpc import GalleryServiceStub
from facegrid.v1.identity_service_pb2_grpc import IdentityServiceStub
from facegrid.v1.maintenance_service_pb2_grpc import MaintenanceServiceStub
from house import House

MESSAGE_LIMIT = 64 * 1024
CALL_LIMIT = 4


@dataclass
class Api:
    """Stubs of a running server, and what is behind it."""

    house: House
    channel: grpc.aio.Channel
    server: GatewayServer
    faces: FaceServiceStub
    galleries: GalleryServiceStub
    identities: IdentityServiceStub
    maintenance: MaintenanceServiceStub
    metrics: Metrics


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str, str, str]:
    """Return code, reason, field and sentence of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)
    reason, field = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details if status else ():
        _ = detail.Unpack(reason) or detail.Unpack(field)
    fields = [violation.field for violation in field.field_violations]
    return caught.value.code(), reason.reason, "".join(fields), caught.value.details() or ""
