"""The indexes as projections of the records: filled at start, changed with them, never searched in part."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from facegrid.domain.errors import (
    GalleryMoved,
    GalleryNotFound,
    IndexLoading,
    RevisionNotReached,
    StoreUnavailable,
)
from facegrid.domain.faces import Floats
from facegrid.domain.filters import UNRESTRICTED, Restriction
from facegrid.domain.galleries import Encounter, Gallery, IndexRows, index_rows
from facegrid.domain.matching import Hit, best_per_subject, is_settled
from facegrid.identity.filling import Filling
from facegrid.identity.index_state import IndexState
from facegrid.identity.ports import Index, Records

_LONGEST_WAIT_S = 10.0
_ANSWER_MARGIN = 0.9
_HIDDEN_FOR_S = 60.0
_OVERFETCH = 4
_SETTLING_S = 0.5
_ROWS_A_STEP = 4096


class Projection:
    """Keeps each gallery's index equal to its records, as far as a search can tell."""

    def __init__(self, records: Records, index: Index) -> None:
        """Take the records and the index that projects them."""
        self._records, self._index = records, index
        self._states: dict[str, IndexState] = {}
        self._dropped: dict[str, bool] = {}

    @property
    def approximates(self) -> bool:
        """Whether galleries may be searched approximately here."""
        return self._index.approximates

    def is_exact(self, gallery: Gallery) -> bool:
        """Say whether a search of a gallery misses nothing."""
        return gallery.index.exact or not self._index.approximates

    def sizes(self) -> list[tuple[Gallery, int]]:
        """Return the galleries that are filled, or being filled, and their subjects so far, in any thread."""
        return [(state.gallery, self.subject_count(state.gallery)) for state in [*self._states.values()]]

    def fill(self, gallery: Gallery) -> asyncio.Future[None]:
        """Begin to fill the gallery's index, if that was not done yet; the future ends with it.

        Raises GalleryNotFound.
        """
        if self.is_dropped(gallery):
            raise self.gone(gallery)
        state = self._states.setdefault(gallery.gallery_id, IndexState(gallery))
        if state.filling is None or (state.filling.done() and _failed(state.filling)):
            state.filling = asyncio.create_task(self._fill(gallery, state))
        return asyncio.shield(state.filling)

    async def ready(self, gallery: Gallery, deadline: float | None = None) -> None:
        """Wait until the gallery's index is filled. Raises IndexLoading and GalleryNotFound."""
        try:
            await asyncio.wait_for(self.fill(gallery), _patience(deadline))
        except TimeoutError:
            raise IndexLoading(f"gallery {gallery.name} is still being loaded; retry in a moment") from None

    async def reach(self, gallery: Gallery, revision: int, deadline: float | None) -> None:
        """Wait until searches see a revision. Raises RevisionNotReached and IndexLoading."""
        await self.ready(gallery, deadline)
        state = self._state(gallery)
        try:
            async with asyncio.timeout(_patience(deadline)), state.changed:
                await state.changed.wait_for(lambda: state.revision >= revision)
        except TimeoutError:
            raise RevisionNotReached(
                f"gallery {gallery.name} did not reach min_revision in time; retry", field="min_revision"
            ) from None

    def _reached(self, gallery: Gallery, revision: int) -> None:
        state = self._states.setdefault(gallery.gallery_id, IndexState(gallery))
        state.revision = max(state.revision, revision)

    def revision(self, gallery: Gallery) -> int:
        """Return the latest revision that searches see."""
        return self._state(gallery).revision

    def subject_count(self, gallery: Gallery) -> int:
        """Return the number of subjects that a search covers."""
        return len(self._state(gallery).subjects)

    def has_subject(self, gallery: Gallery, subject_id: str) -> bool:
        """Say whether a search covers a subject; False also where the index is not filled yet."""
        state = self._states.get(gallery.gallery_id)
        return state is not None and subject_id in state.subjects

    @contextmanager
    def revise(self, gallery: Gallery) -> Iterator[int]:
        """Give a mutation its revision, which no watermark reaches until the context ends.

        Where it ends with an error, only a comparison of all keys can tell what the index holds.
        """
        with self._state(gallery).revise() as revision:
            yield revision

    async def publish(self) -> int:
        """Write down how far each index had come half a second ago, and return 0: it is no news.

        By then all servers see that: Milvus shows a change within 0.4 s (measured on 2.3.5).
        """
        for gallery_id, state in [*self._states.items()]:
            if due := state.settled(time.monotonic(), _SETTLING_S):
                await self._records.set_watermark(gallery_id, due)
                state.published = due
        return 0

    async def add(self, gallery: Gallery, encounter: Encounter) -> None:
        """Show an encounter and, in the same step, no longer those that it replaces."""
        state = self._state(gallery)
        with state.owing({**dict.fromkeys(encounter.replaces), encounter.encounter_id: encounter}):
            missed = encounter.encounter_id not in state.shown or encounter.encounter_id in state.owed
            if missed and encounter.labels.searched:
                await self._show(state, gallery, encounter)
            await self.remove(gallery, encounter.replaces, encounter.revision)

    async def _show(self, state: IndexState, gallery: Gallery, encounter: Encounter) -> None:
        if encounter.replaces:
            state.hidden.add(encounter.encounter_id)
        await self._index.add(gallery.gallery_id, index_rows([encounter], gallery.dimension))
        state.hidden.discard(encounter.encounter_id)
        state.swaps += bool(encounter.replaces)
        state.note({encounter.encounter_id: encounter.subject_id})

    async def amend(self, gallery: Gallery, encounters: Sequence[Encounter], revision: int) -> None:
        """Show encounters with the labels that they have now, or no longer."""
        state = self._state(gallery)
        shown = {one.encounter_id: one for one in encounters if one.labels.searched}
        if shown:
            with state.owing(shown):
                await self._index.add(gallery.gallery_id, index_rows(encounters, gallery.dimension))
            state.hidden.difference_update(shown)
            state.note({one.encounter_id: one.subject_id for one in shown.values()})
        gone = [one.encounter_id for one in encounters if one.encounter_id not in shown]
        await self.remove(gallery, gone, revision)

    async def add_rows(self, gallery: Gallery, batches: AsyncIterator[IndexRows]) -> AsyncIterator[int]:
        """Show rows of durable encounters; yields the number of rows after each step."""
        state, gone = self._state(gallery), set[str]()
        state.leaving.append(gone)
        try:
            async for batch in batches:
                for start in range(0, len(batch), _ROWS_A_STEP):
                    part = batch.part(slice(start, start + _ROWS_A_STEP))
                    await self._show_rows(state, gallery, part, gone)
                    yield len(part)
        finally:
            state.leaving.remove(gone)

    async def _show_rows(self, state: IndexState, gallery: Gallery, rows: IndexRows, gone: set[str]) -> None:
        ids = rows.encounter_ids
        fresh = [row for row, one in enumerate(ids) if one not in state.shown and one not in gone]
        await self._index.add(gallery.gallery_id, rows if len(fresh) == len(ids) else rows.take(fresh))
        if late := gone.intersection(ids):
            await self._index.remove(gallery.gallery_id, sorted(late))
        pairs = zip(ids, rows.subject_ids, strict=True)
        state.note({one: subject for one, subject in pairs if one not in gone})

    async def reached(self, gallery: Gallery, revision: int) -> None:
        """Let searches be told that they see a revision."""
        state = self._state(gallery)
        async with state.changed:
            state.revision = max(state.revision, revision)
            state.changed.notify_all()

    async def remove(self, gallery: Gallery, encounter_ids: Sequence[str], revision: int) -> None:
        """Take encounters out of all searches from now on."""
        state = self._state(gallery)
        if encounter_ids:
            state.hide(encounter_ids)
            with state.owing(dict.fromkeys(encounter_ids)):
                await self._index.remove(gallery.gallery_id, encounter_ids)
            # An index may show a removed row for a moment, and a search may be under way.
            forget = state.hidden.difference_update
            asyncio.get_running_loop().call_later(_HIDDEN_FOR_S, forget, tuple(encounter_ids))
        await self.reached(gallery, revision)

    async def settle(self, gallery: Gallery, subject_id: str) -> None:
        """Bring to the index what failed of a subject, which the caller holds, and what went from others.

        Raises StoreUnavailable where that fails, and where the index lacks an encounter of another subject:
        so no more fall behind while it is away than were under way when it went.
        """
        state = self._state(gallery)
        for encounter_id, encounter in [*state.owed.items()]:
            if encounter is None:
                await self.remove(gallery, [encounter_id], 0)
            elif encounter.subject_id == subject_id:
                await self.add(gallery, encounter)
        if state.owed:
            raise StoreUnavailable("the index is behind the records; retry in a moment")

    def behind(self) -> set[tuple[Gallery, str]]:
        """Return the subjects of which an index lacks an encounter; "" where it has some too many."""
        return {
            (state.gallery, encounter.subject_id if encounter else "")
            for state in self._states.values()
            for encounter in state.owed.values()
        }

    async def search(
        self, gallery: Gallery, probes: Floats, top: int, restriction: Restriction = UNRESTRICTED
    ) -> list[list[Hit]]:
        """Return for each probe of (N, dimension) the `top` best subjects that are allowed, best first."""
        state, limit = self._state(gallery), top * _OVERFETCH
        while True:
            swaps = state.swaps
            found = await self._index.search(
                gallery.gallery_id, probes, limit, gallery.index, restriction=restriction
            )
            if state.swaps != swaps:
                continue  # a replacement went by: these rows may show its subject twice, or not at all
            seen = [[hit for hit in hits if hit.encounter_id not in state.hidden] for hits in found]
            if all(
                len(hits) < limit or is_settled(visible, top)
                for hits, visible in zip(found, seen, strict=True)
            ):
                return [best_per_subject(visible)[:top] for visible in seen]
            limit *= _OVERFETCH

    async def build(self, gallery: Gallery) -> None:
        """Wait until the index is as searches will find it when nothing changes any more."""
        await self._index.build(gallery.gallery_id)

    async def drop(self, gallery_id: str, *, moved: bool = False) -> None:
        """Forget a deleted gallery, for good; those who wait for it get GalleryNotFound.

        They get GalleryMoved where a migration has put another one into its place.
        """
        self._dropped[gallery_id] = moved
        state = self._states.pop(gallery_id, None)
        if state and state.filling:
            await asyncio.wait([state.filling])
        await self._index.drop(gallery_id)

    def is_dropped(self, gallery: Gallery) -> bool:
        """Say whether the gallery was deleted while this process runs."""
        return gallery.gallery_id in self._dropped

    def gone(self, gallery: Gallery) -> GalleryNotFound | GalleryMoved:
        """Return what to tell those who meant a gallery that was deleted meanwhile, or moved."""
        if self._dropped.get(gallery.gallery_id):
            return GalleryMoved(f"gallery {gallery.name} has just moved to another pack; retry")
        return GalleryNotFound(f"gallery {gallery.name} was deleted meanwhile", field="gallery")

    def _state(self, gallery: Gallery) -> IndexState:
        try:
            return self._states[gallery.gallery_id]
        except KeyError:
            raise self.gone(gallery) from None

    async def _fill(self, gallery: Gallery, state: IndexState) -> None:
        def check() -> None:
            if self.is_dropped(gallery):
                raise self.gone(gallery)

        await Filling(self._records, self._index, gallery, state, check)()


def _failed(task: asyncio.Task[None]) -> bool:
    return task.cancelled() or task.exception() is not None


def _patience(deadline: float | None) -> float:
    """Return the seconds to wait: so few that the answer at their end is ours, and not the deadline's."""
    left = math.inf if deadline is None else max(0.0, deadline - time.monotonic())
    return min(left * _ANSWER_MARGIN, _LONGEST_WAIT_S)
