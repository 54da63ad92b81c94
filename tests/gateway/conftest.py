"""The gateway over a real channel, in front of the use cases with a fake vision."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from api import CALL_LIMIT, MESSAGE_LIMIT, Api
from facegrid.gateway.access import AccessControl
from facegrid.gateway.bulk_servicer import BulkServicer
from facegrid.gateway.face_servicer import FaceServicer
from facegrid.gateway.gallery_servicer import GalleryServicer
from facegrid.gateway.identity_servicer import IdentityServicer
from facegrid.gateway.maintenance_servicer import MaintenanceServicer
from facegrid.gateway.migration_servicer import MigrationServicer
from facegrid.gateway.server import GatewayServer, Servicers
from facegrid.identity.bulk_export import ExportTemplates
from facegrid.identity.bulk_import import ImportTemplates
from facegrid.identity.compare import Compare
from facegrid.v1.face_service_pb2_grpc import FaceServiceStub
from facegrid.v1.gallery_service_pb2 import CreateGalleryRequest
from facegrid.v1.gallery_service_pb2_grpc import GalleryServiceStub
from facegrid.v1.identity_service_pb2_grpc import IdentityServiceStub
from facegrid.v1.maintenance_service_pb2_grpc import MaintenanceServiceStub
from fakes import FakeVision
from house import House, build_house


def servicers_of(house: House, access: AccessControl | None = None) -> Servicers:
    """Return what answers calls with the use cases."""
    return Servicers(
        FaceServicer(house.extract, Compare(house.extract), house.analyze),
        GalleryServicer(house.galleries, house.subjects, house.update, access),
        IdentityServicer(house.enroll, house.verify, house.identify, house.metrics),
        MaintenanceServicer(house.audit, house.tune, house.rebuild, house.check, house.duplicates),
        MigrationServicer(house.migrations),
        BulkServicer(
            ImportTemplates(house.galleries, house.records, house.projection),
            ExportTemplates(house.galleries, house.records),
        ),
    )


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """Yield a server with an empty gallery "g"."""
    house = build_house(tmp_path / "data", FakeVision())
    server = GatewayServer(servicers_of(house), MESSAGE_LIMIT, CALL_LIMIT, house.metrics)
    port = await server.start("127.0.0.1:0")
    await server.set_serving(serving=True)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        built = Api(
            house,
            channel,
            f"127.0.0.1:{port}",
            server,
            FaceServiceStub(channel),
            GalleryServiceStub(channel),
            IdentityServiceStub(channel),
            MaintenanceServiceStub(channel),
            house.metrics,
        )
        await built.galleries.CreateGallery(CreateGalleryRequest(name="g"))
        yield built
    await server.stop(0)
    house.close()
