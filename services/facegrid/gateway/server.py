"""The gRPC server: options, the boundary, our services, health and reflection."""

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from facegrid.gateway.boundary import Boundary
from facegrid.gateway.face_servicer import FaceServicer
from facegrid.gateway.gallery_servicer import GalleryServicer
from facegrid.gateway.identity_servicer import IdentityServicer
from facegrid.gateway.maintenance_servicer import MaintenanceServicer
from facegrid.metrics import Metrics
from facegrid.v1 import (
    face_service_pb2,
    face_service_pb2_grpc,
    gallery_service_pb2,
    gallery_service_pb2_grpc,
    identity_service_pb2,
    identity_service_pb2_grpc,
    maintenance_service_pb2,
    maintenance_service_pb2_grpc,
)

_SERVICES = tuple(
    file.DESCRIPTOR.services_by_name[name].full_name
    for file, name in (
        (face_service_pb2, "FaceService"),
        (gallery_service_pb2, "GalleryService"),
        (identity_service_pb2, "IdentityService"),
        (maintenance_service_pb2, "MaintenanceService"),
    )
)
NEED_A_STORE = _SERVICES[1:]


@dataclass(frozen=True, slots=True)
class Servicers:
    """What answers the calls."""

    face: FaceServicer
    gallery: GalleryServicer
    identity: IdentityServicer
    maintenance: MaintenanceServicer


class GatewayServer:
    """A grpc.aio server that says NOT_SERVING until it is told that all is loaded."""

    def __init__(
        self, servicers: Servicers, max_message_bytes: int, max_calls: int, metrics: Metrics
    ) -> None:
        """Register everything; nothing listens yet."""
        self._server = grpc.aio.server(
            interceptors=[Boundary(max_message_bytes, max_calls, metrics)],
            options=[
                # Twice the limit, so that a request somewhat over it gets our answer and not the library's.
                ("grpc.max_receive_message_length", 2 * max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ],
        )
        face_service_pb2_grpc.add_FaceServiceServicer_to_server(servicers.face, self._server)
        gallery_service_pb2_grpc.add_GalleryServiceServicer_to_server(servicers.gallery, self._server)
        identity_service_pb2_grpc.add_IdentityServiceServicer_to_server(servicers.identity, self._server)
        maintenance_service_pb2_grpc.add_MaintenanceServiceServicer_to_server(
            servicers.maintenance, self._server
        )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            [*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server
        )

    async def start(self, address: str) -> int:
        """Listen on `host:port` or `unix:path`; returns the port. Raises RuntimeError where it is taken."""
        port: int = self._server.add_insecure_port(address)
        await self.set_serving(serving=False)
        await self._server.start()
        return port

    async def set_serving(self, *, serving: bool, services: Sequence[str] = ("", *_SERVICES)) -> None:
        """Answer health checks of services, "" being the server, with SERVING or NOT_SERVING."""
        status = (
            health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for name in services:
            await self._health.set(name, status)

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls and give those under way `grace_s` to end."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)
