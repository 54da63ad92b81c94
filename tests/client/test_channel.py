"""What every call of a client says beside its request."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from facegrid.client import Client
from facegrid.v1.bulk_service_pb2 import ImportTemplatesRequest
from facegrid.v1.gallery_service_pb2 import GetGalleryRequest


class _Listener(grpc.GenericRpcHandler):
    """Hears each message of calls of any kind, all of which begin alike, and answers with an empty one."""

    def __init__(self) -> None:
        """Begin with nothing heard."""
        self.purposes: list[str] = []

    def service(self, _: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """Take any method."""

        def answer(requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
            self.purposes += [GetGalleryRequest.FromString(one).context.purpose for one in requests]
            yield b""

        return grpc.stream_stream_rpc_method_handler(answer)


@pytest.fixture
def listener() -> _Listener:
    """Return what hears the calls."""
    return _Listener()


@pytest.fixture
def address(listener: _Listener) -> Iterator[str]:
    """Serve the listener."""
    server = grpc.server(ThreadPoolExecutor(2), handlers=[listener])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()


@pytest.mark.parametrize(
    ("call", "messages"),
    [
        (lambda client: client.get_gallery("g"), 1),
        (lambda client: list(client.bulk.export_templates("g")), 1),
        (lambda client: list(client.maintenance.rebuild_index("g")), 1),
        (lambda client: list(client.bulk.import_templates("g", "v", lambda: [ImportTemplatesRequest()])), 3),
    ],
)
@pytest.mark.parametrize("purpose", ["", "border-entry"])
def test_every_call_states_the_purpose(
    listener: _Listener, address: str, call: Callable[[Client], object], messages: int, purpose: str
) -> None:
    """Calls of one message and of many, and of one answer and of many."""
    with Client(address, purpose=purpose) as client:
        call(client)
    assert listener.purposes == [purpose] * messages
