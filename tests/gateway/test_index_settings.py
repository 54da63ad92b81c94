"""How a gallery is searched, as an integrator asks for it."""

import grpc

from api import Api, refusal
from facegrid.v1 import gallery_service_pb2 as gallery_pb
from facegrid.v1 import types_pb2 as pb


async def test_a_gallery_says_how_it_is_searched(api: Api) -> None:
    """Exactly where the request says nothing."""
    made = await api.galleries.CreateGallery(gallery_pb.CreateGalleryRequest(name="h"))
    assert made.gallery.index == pb.IndexSettings(method=pb.SEARCH_METHOD_EXACT)


async def test_what_this_server_cannot_do_is_refused(api: Api) -> None:
    """With the field: an approximate search, and a method that the API does not know."""
    for method, words in ((pb.SEARCH_METHOD_APPROXIMATE, "FACEGRID_MILVUS"), (9, "no SearchMethod")):
        request = gallery_pb.CreateGalleryRequest(name="h", index=pb.IndexSettings(method=method))
        code, reason, field, message = await refusal(api.galleries.CreateGallery(request))
        assert (code, reason, field) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
            "index.method",
        )
        assert words in message
