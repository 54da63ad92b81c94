"""The client's calls about migrations of galleries to other packs."""

from collections.abc import Callable, Iterator
from typing import Any, cast
from uuid import uuid4

import grpc

from facegrid.client.errors import call_failed
from facegrid.v1 import migration_service_pb2 as pb
from facegrid.v1.migration_service_pb2_grpc import MigrationServiceStub

_PAGE = 1000


class MigrationCalls:
    """Calls of MigrationService."""

    def __init__(
        self,
        channel: grpc.Channel,
        target: str,
        call: Callable[..., Any],
        pages: Callable[..., Iterator[Any]],
    ) -> None:
        """Take a client's connection, the server's address, and what makes calls and lists of pages."""
        self._stub, self._target = MigrationServiceStub(channel), target
        self._call, self._pages = call, pages

    def start(
        self,
        gallery: str,
        pack: str,
        *,
        verify_threshold: float | None = None,
        identify_threshold: float | None = None,
        shadow: float | None = None,
    ) -> pb.Migration:
        """Begin to move a gallery to a pack, or change the share of shadow searches."""
        request = pb.StartMigrationRequest(
            gallery=gallery,
            pack=pack,
            verify_threshold=verify_threshold,
            identify_threshold=identify_threshold,
            shadow=shadow,
        )
        migration: pb.Migration = self._call(self._stub.StartMigration, request).migration
        return migration

    def get(self, gallery: str) -> pb.Migration:
        """Describe a gallery's migration."""
        migration: pb.Migration = self._call(
            self._stub.GetMigration, pb.GetMigrationRequest(gallery=gallery)
        ).migration
        return migration

    def watch(self, gallery: str) -> Iterator[pb.Migration]:
        """Describe it twice a second, until all is copied."""
        request = pb.WatchMigrationRequest(gallery=gallery)
        request.context.request_id = uuid4().hex
        try:
            for answer in self._stub.WatchMigration(request):
                yield answer.migration
        except grpc.RpcError as error:
            raise call_failed(cast("grpc.Call", error), self._target) from None

    def left_behind(self, gallery: str, *, by_roll_back: bool = False) -> Iterator[pb.LeftBehind]:
        """Yield the encounters that the new gallery lacks, or those that the former one does."""
        request = pb.ListLeftBehindRequest(gallery=gallery, page_size=_PAGE, by_roll_back=by_roll_back)
        for page in self._pages(self._stub.ListLeftBehind, request):
            yield from page.encounters

    def cut_over(self, gallery: str, *, leave_behind: bool = False) -> pb.Migration:
        """Let searches use the new pack."""
        request = pb.CutOverRequest(gallery=gallery, leave_behind=leave_behind)
        migration: pb.Migration = self._call(self._stub.CutOver, request).migration
        return migration

    def roll_back(self, gallery: str, *, leave_behind: bool = False) -> pb.Migration:
        """Let searches use the former pack again."""
        request = pb.RollBackRequest(gallery=gallery, leave_behind=leave_behind)
        migration: pb.Migration = self._call(self._stub.RollBack, request).migration
        return migration

    def finish(self, gallery: str, *, leave_behind: bool = False) -> None:
        """Remove what the gallery was before the cut over."""
        request = pb.FinishMigrationRequest(gallery=gallery, leave_behind=leave_behind)
        self._call(self._stub.FinishMigration, request)

    def cancel(self, gallery: str, *, leave_behind: bool = False) -> None:
        """Remove what the gallery was to be."""
        request = pb.CancelMigrationRequest(gallery=gallery, leave_behind=leave_behind)
        self._call(self._stub.CancelMigration, request)
