"""The gRPC server: options, the boundary, our services, health and reflection."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from facegrid.gateway.access import OPEN, Security
from facegrid.gateway.boundary import Boundary
from facegrid.gateway.bulk_servicer import BulkServicer
from facegrid.gateway.draining import Draining
from facegrid.gateway.face_servicer import FaceServicer
from facegrid.gateway.forwarding import Forwarding
from facegrid.gateway.gallery_servicer import GalleryServicer
from facegrid.gateway.identity_servicer import IdentityServicer
from facegrid.gateway.maintenance_servicer import MaintenanceServicer
from facegrid.gateway.migration_servicer import MigrationServicer
from facegrid.gateway.permissions import needs_of
from facegrid.metrics import Metrics
from facegrid.v1 import (
    bulk_service_pb2,
    bulk_service_pb2_grpc,
    face_service_pb2,
    face_service_pb2_grpc,
    gallery_service_pb2,
    gallery_service_pb2_grpc,
    identity_service_pb2,
    identity_service_pb2_grpc,
    maintenance_service_pb2,
    maintenance_service_pb2_grpc,
    migration_service_pb2,
    migration_service_pb2_grpc,
)

SERVED = tuple(
    file.DESCRIPTOR.services_by_name[name]
    for file, name in (
        (face_service_pb2, "FaceService"),
        (gallery_service_pb2, "GalleryService"),
        (identity_service_pb2, "IdentityService"),
        (maintenance_service_pb2, "MaintenanceService"),
        (migration_service_pb2, "MigrationService"),
        (bulk_service_pb2, "BulkService"),
    )
)
_SERVICES = tuple(service.full_name for service in SERVED)
_AGAIN_S = 0.5
_ARRIVED_S = 0.3  # grpc cancels what has arrived and was not looked at when it stops: fewer calls by then
_LONGEST_CONNECTION_MS = 3_600_000  # certificates are looked at when one begins; calls under way then end
NEED_A_STORE = _SERVICES[1:]


@dataclass(frozen=True, slots=True)
class Servicers:
    """What answers the calls."""

    face: FaceServicer
    gallery: GalleryServicer
    identity: IdentityServicer
    maintenance: MaintenanceServicer
    migration: MigrationServicer
    bulk: BulkServicer


class GatewayServer:
    """A grpc.aio server that says NOT_SERVING until it is told that all is loaded.

    It answers every call itself until it is told which server to follow.
    """

    def __init__(
        self,
        servicers: Servicers,
        max_message_bytes: int,
        max_calls: int,
        metrics: Metrics,
        security: Security = OPEN,
    ) -> None:
        """Register everything; nothing listens yet. Raises ValueError where a method states no permission."""
        self.metrics, self.security = metrics, security
        self._forwarding = Forwarding(security, max_calls)
        self._draining = Draining()
        self._boundary = Boundary(max_message_bytes, max_calls, metrics, needs_of(SERVED), security.access)
        self._routes = _Routes()
        self._routes.lead_to(servicers)
        self._health = health.aio.HealthServicer()
        self._max_received = 2 * max_message_bytes
        self._age = [("grpc.max_connection_age_ms", _LONGEST_CONNECTION_MS)] if security.credentials else []

    def lead(self, servicers: Servicers) -> None:
        """Answer every call from now on, by these servicers; calls under way end as they began."""
        self._routes.lead_to(servicers)
        self._forwarding.lead()

    def follow(self, leader: str) -> None:
        """Send what may change something to the server at this address; refuse it where that is empty."""
        self._forwarding.follow(leader)

    async def start(self, address: str) -> int:
        """Listen on `host:port` or `unix:path`; returns the port. Raises RuntimeError where it is taken."""
        self._server, port = await self._listen(address)
        await self.set_serving(serving=False)
        at = address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"
        self._keeping = asyncio.create_task(self._keep(at))
        return port

    async def _listen(self, address: str) -> tuple[grpc.aio.Server, int]:
        server, credentials = self._make(), self.security.credentials
        port: int = (
            server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        )
        await server.start()
        return server, port

    async def _keep(self, address: str) -> None:
        """Serve anew where grpc ends: one request does that whose path is no UTF-8 (grpcio 1.85)."""
        while True:
            try:
                await self._server.wait_for_termination()
            except Exception as error:  # noqa: BLE001  # whatever it was, others are to be served
                structlog.get_logger().error("grpc ended and begins again", cause=type(error).__name__)
                self._server = await self._listen_again(address)
            else:
                return  # it was stopped

    async def _listen_again(self, address: str) -> grpc.aio.Server:
        while True:
            try:
                server, _ = await self._listen(address)
            except RuntimeError:  # the port is not free yet
                await asyncio.sleep(_AGAIN_S)
            else:
                return server

    def _make(self) -> grpc.aio.Server:
        server = grpc.aio.server(
            interceptors=[self._draining, self._forwarding, self._boundary],
            options=[
                # Twice the limit, so that a request somewhat over it gets our answer and not the library's.
                ("grpc.max_receive_message_length", self._max_received),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
                *self._age,
            ],
        )
        server.add_generic_rpc_handlers((self._routes,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection(
            [*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME], server
        )
        return server

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
        self._draining.begin()
        if self._boundary.calls or self._forwarding.calls:  # else nobody is there
            await asyncio.sleep(_ARRIVED_S)
        await self._server.stop(grace_s)
        await self._keeping
        await self._forwarding.close()


class _Routes(grpc.GenericRpcHandler):
    """The methods of the servicers that answer at present."""

    def __init__(self) -> None:
        self._services: list[grpc.GenericRpcHandler] = []

    def lead_to(self, servicers: Servicers) -> None:
        """Register servicers in place of others."""
        self._services = []
        server = cast("grpc.aio.Server", self)
        face_service_pb2_grpc.add_FaceServiceServicer_to_server(servicers.face, server)
        gallery_service_pb2_grpc.add_GalleryServiceServicer_to_server(servicers.gallery, server)
        identity_service_pb2_grpc.add_IdentityServiceServicer_to_server(servicers.identity, server)
        maintenance_service_pb2_grpc.add_MaintenanceServiceServicer_to_server(servicers.maintenance, server)
        migration_service_pb2_grpc.add_MigrationServiceServicer_to_server(servicers.migration, server)
        bulk_service_pb2_grpc.add_BulkServiceServicer_to_server(servicers.bulk, server)

    def add_generic_rpc_handlers(self, services: Sequence[grpc.GenericRpcHandler]) -> None:
        """Take what generated code registers."""
        self._services += services

    def add_registered_method_handlers(self, name: str, handlers: object) -> None:
        """Ignore the second form in which generated code registers the same."""

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Return the handler of a method."""
        found = (service.service(details) for service in self._services)
        return next((handler for handler in found if handler), None)
