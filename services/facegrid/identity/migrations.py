"""Migrations of galleries to other packs: started, described, cut over, rolled back, ended."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from facegrid.domain.calls import Call
from facegrid.domain.errors import InvalidField, WrongMigrationState
from facegrid.domain.galleries import Gallery, Migration, MigrationState
from facegrid.domain.migrations import LeftBehind, MigrationProgress, check_share
from facegrid.domain.names import check_name
from facegrid.domain.packs import Pack, Thresholds, check_available
from facegrid.domain.quality import check_quality_rules
from facegrid.identity.extract import Extract
from facegrid.identity.galleries import Galleries, page_limit, threshold_or
from facegrid.identity.migrate import Migrate
from facegrid.identity.migration_ports import TwinRecords
from facegrid.identity.projection import Projection
from facegrid.identity.shadow import Shadow

_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """A migration: the gallery that was, the gallery to be, and how far it is."""

    former: Gallery
    new: Gallery
    state: MigrationState
    shadow: float
    progress: MigrationProgress
    problem: str


class Migrations:
    """What operators do with migrations."""

    def __init__(
        self,
        galleries: Galleries,
        extract: Extract,
        twin_records: TwinRecords,
        projection: Projection,
        *,
        migrate: Migrate,
        shadow: Shadow,
    ) -> None:
        """Take the galleries, the extraction, the records, the projection, the job and the shadow."""
        self._galleries, self._extract, self._twin_records = galleries, extract, twin_records
        self._projection, self._migrate, self._shadow = projection, migrate, shadow

    async def start(
        self,
        name: str,
        *,
        pack_name: str,
        verify_threshold: float | None,
        identify_threshold: float | None,
        shadow: float | None,
    ) -> MigrationStatus:
        """Begin to move a gallery to a pack; where that is under way, change the share of shadow searches.

        Raises InvalidField, AttributeNotAvailable, GalleryNotFound, PackNotFound and WrongMigrationState.
        """
        check_share(shadow or 0.0, "shadow")
        pack = self._extract.pack(check_name(pack_name, "pack"))
        verify = threshold_or(verify_threshold, pack.thresholds.verify, "verify_threshold")
        identify = threshold_or(identify_threshold, pack.thresholds.identify, "identify_threshold")
        twin_id, thresholds = secrets.token_hex(16), Thresholds(verify, identify)

        def change(old: Gallery) -> Gallery:
            moving = old.migration or Migration(_twin(old, twin_id, pack, thresholds))
            new = old if moving.state is MigrationState.CUT_OVER else moving.twin
            if new.template_version != pack.template_version:
                raise WrongMigrationState(
                    f"gallery {name} is moving to pack {new.pack}; finish or cancel that first", field="pack"
                )
            return replace(old, migration=replace(moving, shadow=moving.shadow if shadow is None else shadow))

        before = await self._galleries.get(name)
        if before.migration is None:
            await self._twin_records.settle_all(before)
        gallery = await asyncio.shield(self._twin_records.migrate(name, change))
        self._migrate.begin(gallery)
        return await self._status(gallery)

    async def get(self, name: str) -> MigrationStatus:
        """Describe a gallery's migration. Raises GalleryNotFound and WrongMigrationState."""
        return await self._status(await self._moving(name))

    async def watch(self, name: str) -> AsyncIterator[MigrationStatus]:
        """Describe it twice a second, until all is copied."""
        while (status := await self.get(name)).state is MigrationState.COPYING:
            yield status
            await asyncio.sleep(_POLL_S)
        yield status

    async def left_behind(
        self, name: str, page_size: int, page_token: str, *, by_roll_back: bool
    ) -> tuple[list[LeftBehind], str]:
        """Return a page of the encounters that the new gallery lacks, or the former, and the next token."""
        limit = page_limit(page_size)
        after = check_name(page_token, "page_token") if page_token else ""
        former, new = _sides(await self._moving(name))
        found = await self._twin_records.left_behind(former if by_roll_back else new, after, limit + 1)
        return found[:limit], found[limit - 1].encounter_id if len(found) > limit else ""

    async def cut_over(self, call: Call, name: str, *, leave_behind: bool) -> MigrationStatus:
        """Let searches use the new gallery from now on.

        Raises WrongMigrationState before all is copied, and where encounters would be left behind.
        """
        await self._migrate.catch_up(name)
        return await self._exchange(call, name, MigrationState.CUT_OVER, leave_behind=leave_behind)

    async def roll_back(self, call: Call, name: str, *, leave_behind: bool) -> MigrationStatus:
        """Let searches use the former gallery again. Raises WrongMigrationState."""
        return await self._exchange(call, name, MigrationState.READY, leave_behind=leave_behind)

    async def finish(self, call: Call, name: str, *, leave_behind: bool) -> None:
        """Remove the former gallery, after the cut over. Raises WrongMigrationState and RequestIdReused."""
        await self._end(call, name, "not cut over yet", in_use=False, leave_behind=leave_behind)

    async def cancel(self, call: Call, name: str, *, leave_behind: bool) -> None:
        """Remove the new gallery, unless it is in use. Raises WrongMigrationState and RequestIdReused."""
        await self._end(call, name, "cut over; roll it back first", in_use=True, leave_behind=leave_behind)

    async def _exchange(
        self, call: Call, name: str, state: MigrationState, *, leave_behind: bool
    ) -> MigrationStatus:
        gallery = await self._moving(name)
        moving = gallery.migration
        if moving and moving.state is not state:
            if moving.state is MigrationState.COPYING:
                raise _wrong(name, "it is still being copied")
            await self._projection.ready(moving.twin, call.deadline)
            if not leave_behind:
                await self._check_none_left(moving.twin)
            gallery = await asyncio.shield(self._twin_records.migrate(name, _exchanged(state)))
        return await self._status(gallery)

    async def _end(self, call: Call, name: str, state: str, *, in_use: bool, leave_behind: bool) -> None:
        """Remove the twin; not while the new gallery is `in_use`, or is not, as `state` says."""
        gallery = await self._galleries.get(name)
        if gallery.twin and not leave_behind:
            await self._check_none_left(gallery)

        def check(gallery: Gallery) -> None:
            if gallery.migration is None:
                raise _none(name)
            if (gallery.migration.state is MigrationState.CUT_OVER) is in_use:
                raise _wrong(name, f"it is {state}")

        async def end() -> None:
            doomed = await self._twin_records.end_migration(name, call, check)
            await self._galleries.remove(doomed, moved=True)
            await self._twin_records.settle_all(replace(gallery, migration=None))

        await asyncio.shield(end())

    async def _check_none_left(self, gallery: Gallery) -> None:
        if count := await self._twin_records.count_left_behind(gallery):
            raise WrongMigrationState(
                f"{count} encounters of gallery {gallery.name} are not in pack {gallery.pack} and would be "
                "left behind; list them, and enrol them again or insist",
                field="leave_behind",
                metadata={"left_behind": str(count)},
            )

    async def _moving(self, name: str) -> Gallery:
        gallery = await self._galleries.get(name)
        if gallery.migration is None:
            raise _none(name)
        return gallery

    async def _status(self, gallery: Gallery) -> MigrationStatus:
        former, new = _sides(gallery)
        moving, walk = gallery.migration, self._migrate.walk(gallery.name)
        await self._projection.ready(gallery)
        subjects = self._projection.subject_count(gallery)
        progress = MigrationProgress(
            subjects,
            subjects if moving and moving.state is not MigrationState.COPYING else min(walk.done, subjects),
            await self._twin_records.count_left_behind(new),
            self._shadow.counts(gallery),
        )
        state, share = (moving.state, moving.shadow) if moving else (MigrationState.COPYING, 0.0)
        return MigrationStatus(former, new, state, share, progress, walk.problem)


def _twin(gallery: Gallery, twin_id: str, pack: Pack, thresholds: Thresholds) -> Gallery:
    """Return the gallery to be; it keeps what was set, which the pack has to allow."""
    if pack.template_version == gallery.template_version:
        raise InvalidField(
            f"gallery {gallery.name} holds templates of pack {pack.name} already; name another", field="pack"
        )
    check_available(gallery.attributes, pack)
    check_quality_rules(gallery.quality_rules, pack)
    return replace(
        gallery,
        gallery_id=twin_id,
        pack=pack.name,
        template_version=pack.template_version,
        dimension=pack.dimension,
        thresholds=thresholds,
        former_ids=(*gallery.former_ids, gallery.gallery_id),
    )


def _exchanged(state: MigrationState) -> Callable[[Gallery], Gallery]:
    def change(gallery: Gallery) -> Gallery:
        moving = gallery.migration
        if moving is None:
            raise _none(gallery.name)
        if moving.state is state:
            return gallery
        former = replace(gallery, migration=None)
        return replace(moving.twin, migration=replace(moving, twin=former, state=state))

    return change


def _sides(gallery: Gallery) -> tuple[Gallery, Gallery]:
    """Return the gallery that was and the one to be."""
    twin = gallery.twin or gallery
    cut_over = gallery.migration and gallery.migration.state is MigrationState.CUT_OVER
    return (twin, gallery) if cut_over else (gallery, twin)


def _none(name: str) -> WrongMigrationState:
    return WrongMigrationState(f"gallery {name} is not moving to another pack; start that first")


def _wrong(name: str, why: str) -> WrongMigrationState:
    return WrongMigrationState(f"the migration of gallery {name} does not allow this: {why}")
