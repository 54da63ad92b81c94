"""What the tests of the gateway hold of a running server."""

from dataclasses import dataclass

import grpc

from facegrid.gateway.server import GatewayServer
from facegrid.v1.face_service_pb2_grpc import FaceServiceStub
from facegrid.v1.gallery_service_pb2_grpc import GalleryServiceStub
from facegrid.v1.identity_service_pb2_grpc import IdentityServiceStub
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
