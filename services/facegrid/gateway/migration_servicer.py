"""MigrationService: galleries move to other packs."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import grpc

from facegrid.domain.migrations import LeftBehind
from facegrid.gateway import convert
from facegrid.identity.migrations import Migrations, MigrationStatus
from facegrid.v1 import migration_service_pb2 as pb
from facegrid.v1.migration_service_pb2_grpc import MigrationServiceServicer

# ruff: noqa: N802  # methods have the API's names
_Context = grpc.aio.ServicerContext[Any, Any]


class MigrationServicer(MigrationServiceServicer):
    """Migrations of galleries to other packs."""

    def __init__(self, migrations: Migrations) -> None:
        """Take the use cases."""
        self._migrations = migrations

    async def StartMigration(
        self, request: pb.StartMigrationRequest, context: _Context
    ) -> pb.StartMigrationResponse:
        """Begin, or change the share of shadow searches."""
        convert.call_of(request, context)
        status = await self._migrations.start(
            request.gallery,
            pack_name=request.pack,
            verify_threshold=convert.number_of(request, "verify_threshold"),
            identify_threshold=convert.number_of(request, "identify_threshold"),
            shadow=convert.number_of(request, "shadow"),
        )
        return pb.StartMigrationResponse(migration=_migration(status))

    async def GetMigration(
        self, request: pb.GetMigrationRequest, context: _Context
    ) -> pb.GetMigrationResponse:
        """Describe a migration."""
        convert.call_of(request, context)
        return pb.GetMigrationResponse(migration=_migration(await self._migrations.get(request.gallery)))

    async def WatchMigration(
        self, request: pb.WatchMigrationRequest, context: _Context
    ) -> AsyncIterator[pb.WatchMigrationResponse]:
        """Describe a migration until all is copied."""
        convert.call_of(request, context)
        async for status in self._migrations.watch(request.gallery):
            yield pb.WatchMigrationResponse(migration=_migration(status))

    async def ListLeftBehind(
        self, request: pb.ListLeftBehindRequest, context: _Context
    ) -> pb.ListLeftBehindResponse:
        """List what one of the galleries lacks."""
        convert.call_of(request, context)
        page, token = await self._migrations.left_behind(
            request.gallery, request.page_size, request.page_token, by_roll_back=request.by_roll_back
        )
        return pb.ListLeftBehindResponse(
            encounters=[_left_behind(one) for one in page], next_page_token=token
        )

    async def CutOver(self, request: pb.CutOverRequest, context: _Context) -> pb.CutOverResponse:
        """Search the new gallery."""
        call = convert.mutation_of(request, context)
        status = await self._migrations.cut_over(call, request.gallery, leave_behind=request.leave_behind)
        return pb.CutOverResponse(migration=_migration(status))

    async def RollBack(self, request: pb.RollBackRequest, context: _Context) -> pb.RollBackResponse:
        """Search the former gallery."""
        call = convert.mutation_of(request, context)
        status = await self._migrations.roll_back(call, request.gallery, leave_behind=request.leave_behind)
        return pb.RollBackResponse(migration=_migration(status))

    async def FinishMigration(
        self, request: pb.FinishMigrationRequest, context: _Context
    ) -> pb.FinishMigrationResponse:
        """Remove the former gallery."""
        call = convert.mutation_of(request, context)
        await self._migrations.finish(call, request.gallery, leave_behind=request.leave_behind)
        return pb.FinishMigrationResponse()

    async def CancelMigration(
        self, request: pb.CancelMigrationRequest, context: _Context
    ) -> pb.CancelMigrationResponse:
        """Remove the new gallery."""
        call = convert.mutation_of(request, context)
        await self._migrations.cancel(call, request.gallery, leave_behind=request.leave_behind)
        return pb.CancelMigrationResponse()


def _migration(status: MigrationStatus) -> pb.Migration:
    progress = status.progress
    return pb.Migration(
        gallery=status.new.name,
        state=convert.migration_state_to_proto(status.state),
        former_pack=status.former.pack,
        pack=status.new.pack,
        template_version=status.new.template_version,
        subject_count=progress.subjects,
        subjects_done=progress.subjects_done,
        left_behind=progress.left_behind,
        problem=status.problem,
        shadow=status.shadow,
        shadowed=pb.ShadowCounts(**asdict(progress.shadowed)),
    )


def _left_behind(left: LeftBehind) -> pb.LeftBehind:
    reason = pb.LeftBehindReason.Value(f"LEFT_BEHIND_REASON_{left.reason.name}")
    return pb.LeftBehind(subject_id=left.subject_id, encounter_id=left.encounter_id, reason=reason)
