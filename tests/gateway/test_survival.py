"""What one client sends does not keep the server from serving others."""

import asyncio

import grpc
import pytest
from structlog.testing import capture_logs

from api import Api
from facegrid.v1.gallery_service_pb2 import ListGalleriesRequest
from facegrid.v1.gallery_service_pb2_grpc import GalleryServiceStub

_QUICK = [("grpc.initial_reconnect_backoff_ms", 100)]


@pytest.mark.parametrize("path", [b"/\xff", b"/facegrid.v1.GalleryService/\xc3("])
async def test_a_path_that_is_no_text(api: Api, path: bytes) -> None:
    """It ends grpc's own loop; the server says so and goes on at the same address."""

    def send() -> None:
        channel = grpc.insecure_channel(api.address, [("grpc.enable_retries", 0)])
        with channel, pytest.raises(grpc.RpcError):
            channel.unary_unary(path)(b"", timeout=20)  # type: ignore[arg-type]  # it takes bytes as well

    with capture_logs() as logs:
        await asyncio.to_thread(send)
        async with grpc.aio.insecure_channel(api.address, _QUICK) as other:
            listing = GalleryServiceStub(other).ListGalleries
            answer = await listing(ListGalleriesRequest(), wait_for_ready=True, timeout=20)
    assert [gallery.name for gallery in answer.galleries] == ["g"]
    ended = [entry["cause"] for entry in logs if entry["event"].startswith("grpc ended")]
    assert ended == ["UnicodeDecodeError"]
