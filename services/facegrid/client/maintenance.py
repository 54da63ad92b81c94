"""The long jobs of a server: streams of how far they are, which end with what came of them."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast
from uuid import uuid4

import grpc

from facegrid.client.errors import call_failed
from facegrid.v1 import maintenance_service_pb2 as pb
from facegrid.v1.maintenance_service_pb2_grpc import MaintenanceServiceStub

_Answer = TypeVar("_Answer")


class MaintenanceCalls:
    """Calls that look after galleries. Closing an iterator that they return calls the job off."""

    def __init__(self, channel: grpc.Channel, target: str) -> None:
        """Take a client's connection, and the server's address."""
        self._stub, self._target = MaintenanceServiceStub(channel), target

    def audit_gallery(self, gallery: str, sample: int = 0) -> Iterator[pb.AuditGalleryResponse]:
        """Compare a gallery's index with exact search."""
        request = pb.AuditGalleryRequest(gallery=gallery, sample=sample)
        yield from self._stream(self._stub.AuditGallery, request)

    def tune_gallery(
        self,
        gallery: str,
        max_added_miss_rate: float,
        *,
        max_ms: float = 0,
        sample: int = 0,
        apply: bool = False,
    ) -> Iterator[pb.TuneGalleryResponse]:
        """Find the smallest search effort of an approximate gallery that provably keeps a bound."""
        request = pb.TuneGalleryRequest(
            gallery=gallery,
            max_added_miss_rate=max_added_miss_rate,
            max_ms=max_ms,
            sample=sample,
            apply=apply,
        )
        yield from self._stream(self._stub.TuneGallery, request)

    def rebuild_index(self, gallery: str) -> Iterator[pb.RebuildIndexResponse]:
        """Make a gallery's index anew from its records."""
        yield from self._stream(self._stub.RebuildIndex, pb.RebuildIndexRequest(gallery=gallery))

    def check_gallery(self, gallery: str, *, repair: bool = False) -> Iterator[pb.CheckGalleryResponse]:
        """Compare a gallery's records and index with each other and with what they promise."""
        request = pb.CheckGalleryRequest(gallery=gallery, repair=repair)
        yield from self._stream(self._stub.CheckGallery, request)

    def find_duplicates(
        self, gallery: str, threshold: float | None = None, *, cursor: str = ""
    ) -> Iterator[pb.FindDuplicatesResponse]:
        """Find the pairs of subjects that may be one person; a cursor goes on where it stands."""
        request = pb.FindDuplicatesRequest(gallery=gallery, threshold=threshold, cursor=cursor)
        yield from self._stream(self._stub.FindDuplicates, request)

    def _stream(self, method: Callable[..., Iterator[_Answer]], request: Any) -> Iterator[_Answer]:
        """Make a call without a deadline, which ends where the iterator is closed."""
        request.context.request_id = uuid4().hex
        call: Any = method(request)
        try:
            yield from call
        except grpc.RpcError as error:
            raise call_failed(cast("grpc.Call", error), self._target) from None
        finally:
            call.cancel()
