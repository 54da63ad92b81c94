"""A server whose index is in a Milvus server that dies and comes back."""

from collections.abc import Callable

import pytest

from facegrid.client import CallFailed, Client
from facegrid.v1 import types_pb2 as pb
from health import wait_for_health
from milvus_server import milvus_programs, running_milvus
from server_process import ServerProcess

pytestmark = pytest.mark.integration
SERVING = {"facegrid.v1.GalleryService": "SERVING", "facegrid.v1.IdentityService": "SERVING"}


def test_calls_are_unavailable_while_milvus_is_gone_and_go_on_when_it_is_back(
    start: Callable[..., ServerProcess], portrait: bytes
) -> None:
    """What was enrolled exactly or approximately is found again; photographs are served all the while."""
    with running_milvus(milvus_programs()) as milvus:
        server = start("--milvus", milvus.uri)
        approximately = pb.IndexSettings(method=pb.SEARCH_METHOD_APPROXIMATE, nprobe=7)
        with Client(server.address) as client:
            assert client.create_gallery("near", index=approximately).index == approximately
            client.create_gallery("all")
            for gallery in ("near", "all"):
                client.enroll(gallery, [portrait], subject_id="eileen")
            milvus.kill()
            wait_for_health(server.address, dict.fromkeys(SERVING, "NOT_SERVING") | {"": "SERVING"})
            assert client.detect(portrait).faces
            with pytest.raises(CallFailed) as caught:
                client.identify("all", [portrait])
            assert (caught.value.reason, caught.value.code.name) == ("STORE_UNAVAILABLE", "UNAVAILABLE")
            milvus.start()
            wait_for_health(server.address, SERVING)
            for gallery, method in (
                ("near", pb.SEARCH_METHOD_APPROXIMATE),
                ("all", pb.SEARCH_METHOD_EXACT),
            ):
                answer = client.identify(gallery, [portrait])
                assert [one.subject_id for one in answer.results[0].candidates] == ["eileen"]
                assert answer.search.method == method
        assert server.end() == 0
        assert not any(word in server.log for word in ("Traceback", str(milvus.ports[0])))
