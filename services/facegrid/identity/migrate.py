"""Migrate: what a gallery holds is brought into its twin, beside other calls."""

import asyncio
from dataclasses import dataclass, field, replace
from functools import partial

from facegrid.domain.errors import ConfigurationError, FacegridError, GalleryNotFound
from facegrid.domain.galleries import Gallery, MigrationState
from facegrid.identity.galleries import Galleries
from facegrid.identity.migration_ports import TwinRecords
from facegrid.identity.ports import Records
from facegrid.identity.projection import Projection
from facegrid.identity.twins import Twins
from facegrid.identity.writes import Writes

_PAGE, _AT_ONCE = 100, 2  # more at once would take the models from live calls


@dataclass(slots=True)
class Walk:
    """How far this process has come with aligning the subjects of two galleries, whose ids are `pair`.

    `left` are those whose subjects are still to be looked at, after `cursor` in the first. `problem` says
    what holds it up.
    """

    pair: frozenset[str] = frozenset()
    left: list[str] = field(default_factory=list)
    cursor: str = ""
    done: int = 0
    problem: str = ""


class Migrate:
    """Walks the subjects of both galleries of each migration, once after its start and once a process.

    So a migration goes on where a crash left it: what the twin has is not made again.
    """

    def __init__(
        self,
        galleries: Galleries,
        records: Records,
        twin_records: TwinRecords,
        projection: Projection,
        *,
        writes: Writes,
        twins: Twins,
    ) -> None:
        """Take the parts that write to records."""
        self._galleries, self._records, self._twin_records = galleries, records, twin_records
        self._projection, self._writes, self._twins = projection, writes, twins
        self._walks: dict[str, Walk] = {}

    async def resume(self) -> None:
        """Take up the migrations that are under way."""
        async for gallery in self._galleries.all():
            self.begin(gallery)

    def begin(self, gallery: Gallery) -> None:
        """Let the next run walk a gallery and its twin, if it has one and they were not walked yet."""
        if gallery.twin and self.walk(gallery.name).pair != (pair := _pair(gallery, gallery.twin)):
            self._walks[gallery.name] = Walk(pair, [gallery.gallery_id, gallery.twin.gallery_id])

    def walk(self, name: str) -> Walk:
        """Return how far a gallery's migration has come."""
        return self._walks.get(name, Walk())

    async def __call__(self) -> int:
        """Go on with each migration and return the number of those that were walked to their end.

        What one fails with is raised when the others had their turn.
        """
        problem: Exception | None = None
        count = 0
        for name, walk in [*self._walks.items()]:
            try:
                count += await self._advance(name, walk)
                walk.problem = ""
            except FacegridError as error:
                problem, walk.problem = error, error.message
            except ConfigurationError as error:
                problem, walk.problem = error, "the server must be mended first; its log says what"
        if problem:
            raise problem
        return count

    async def catch_up(self, name: str) -> None:
        """Finish the changes of a gallery that have reached one side of its migration only."""
        for late_name, subject_id in [*self._twins.late]:
            if late_name == name:
                gallery = await self._galleries.get(name)
                await self._align(gallery, subject_id)

    async def _advance(self, name: str, walk: Walk) -> int:
        gallery = await self._current(name)
        if gallery is None or gallery.twin is None:
            self._walks.pop(name)
            return 0
        await self.catch_up(name)
        if not walk.left:
            return 0
        try:
            await self._walk(gallery, gallery.twin, walk)
        except (FacegridError, ConfigurationError):
            still = await self._current(name)
            if still and still.twin and _pair(still, still.twin) == walk.pair:
                raise
        return 1

    async def _current(self, name: str) -> Gallery | None:
        try:
            return await self._galleries.get(name)
        except GalleryNotFound:
            return None

    async def _walk(self, gallery: Gallery, twin: Gallery, walk: Walk) -> None:
        for one, other in ((gallery, twin), (twin, gallery)):
            await self._projection.fill(one)
            await self._twin_records.remember_all(one, other)
        while walk.left:
            side = gallery if gallery.gallery_id == walk.left[0] else twin
            page, cursor = await self._records.subjects(side, walk.cursor, _PAGE)
            for start in range(0, len(page), _AT_ONCE):
                some = page[start : start + _AT_ONCE]
                await asyncio.gather(*(self._align(side, one.subject_id) for one in some))
                walk.done += len(some)
            walk.cursor = cursor
            if not cursor:
                del walk.left[0]
        await self._twin_records.migrate(gallery.name, partial(_copied, walk.pair))

    async def _align(self, gallery: Gallery, subject_id: str) -> None:
        async with self._writes.hold(gallery, subject_id):
            await self._twins.follow(gallery, subject_id)


def _pair(one: Gallery, other: Gallery) -> frozenset[str]:
    return frozenset({one.gallery_id, other.gallery_id})


def _copied(pair: frozenset[str], gallery: Gallery) -> Gallery:
    """Return the gallery with a migration that may be cut over, if it is still this one."""
    moving = gallery.migration
    if moving is None or moving.state is not MigrationState.COPYING or _pair(gallery, moving.twin) != pair:
        return gallery
    return replace(gallery, migration=replace(moving, state=MigrationState.READY))
