"""The indexes as projections of the records: filled at start, changed with them, never searched in part."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress

from facegrid.domain.errors import (
    ConfigurationError,
    FacegridError,
    GalleryMoved,
    GalleryNotFound,
    IndexLoading,
    RevisionNotReached,
    StoreUnavailable,
)
from facegrid.domain.faces import Floats
from facegrid.domain.filters import UNRESTRICTED, Restriction
from facegrid.domain.galleries import Encounter, Gallery, IndexEntry, IndexRows, index_rows
from facegrid.domain.matching import Hit
from facegrid.identity.deadlines import patience
from facegrid.identity.filling import Filling
from facegrid.identity.index_search import best_subjects, samples_above
from facegrid.identity.index_state import IndexState
from facegrid.identity.index_writer import IndexWriter
from facegrid.identity.ports import Index, Records
from facegrid.identity.row_stream import stream_rows

_HIDDEN_FOR_S = 60.0
_SETTLING_S = 0.5


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
        state = self._known(gallery)
        if state.filling is None or (state.filling.done() and _failed(state.filling)):
            state.filling = asyncio.create_task(self._fill(gallery, state))
        return asyncio.shield(state.filling)

    async def ready(self, gallery: Gallery, deadline: float | None = None) -> None:
        """Wait until the gallery's index is filled. Raises IndexLoading and GalleryNotFound."""
        try:
            await asyncio.wait_for(self.fill(gallery), patience(deadline))
        except TimeoutError:
            raise IndexLoading(f"gallery {gallery.name} is still being loaded; retry in a moment") from None

    async def reach(self, gallery: Gallery, revision: int, deadline: float | None) -> None:
        """Wait until searches see a revision. Raises RevisionNotReached and IndexLoading."""
        await self.ready(gallery, deadline)
        state = self._state(gallery)
        try:
            async with asyncio.timeout(patience(deadline)), state.changed:
                await state.changed.wait_for(lambda: state.revision >= revision)
        except TimeoutError:
            raise RevisionNotReached(
                f"gallery {gallery.name} did not reach min_revision in time; retry", field="min_revision"
            ) from None

    def _reached(self, gallery: Gallery, revision: int) -> None:
        state = self._known(gallery)
        state.revision = max(state.revision, revision)

    def revision(self, gallery: Gallery) -> int:
        """Return the latest revision that searches see."""
        return self._state(gallery).revision

    def encounter_count(self, gallery: Gallery) -> int:
        """Return the number of encounters that a search covers."""
        return len(self._state(gallery).shown)

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
        await state.write(index_rows([encounter], gallery.dimension))
        state.hidden.discard(encounter.encounter_id)
        state.swaps += bool(encounter.replaces)
        state.note({encounter.encounter_id: encounter.subject_id})

    async def amend(self, gallery: Gallery, encounters: Sequence[Encounter], revision: int) -> None:
        """Show encounters with the labels that they have now, or no longer."""
        state = self._state(gallery)
        shown = {one.encounter_id: one for one in encounters if one.labels.searched}
        if shown:
            with state.owing(shown):
                await state.write(index_rows(encounters, gallery.dimension))
            state.hidden.difference_update(shown)
            state.note({one.encounter_id: one.subject_id for one in shown.values()})
        gone = [one.encounter_id for one in encounters if one.encounter_id not in shown]
        await self.remove(gallery, gone, revision)

    async def add_rows(
        self, gallery: Gallery, batches: AsyncIterator[IndexRows]
    ) -> AsyncGenerator[int, None]:
        """Show rows of durable encounters; yields the number of rows after each step."""
        async with aclosing(stream_rows(self._state(gallery), batches)) as steps:
            async for count in steps:
                yield count

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
                await state.write(gone=encounter_ids)
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

    def entries(
        self, gallery: Gallery, encounter_ids: Sequence[str] | None = None
    ) -> AsyncIterator[list[IndexEntry]]:
        """Yield in pages what the index holds of some encounters, or of all."""
        return self._index.entries(gallery.gallery_id, encounter_ids)

    async def mend(self, gallery: Gallery, rows: IndexRows, gone: Sequence[str]) -> None:
        """Bring the index back to its records: rows that it lacks, encounters that it has too much.

        The caller keeps writers away from their subjects.
        """
        state = self._state(gallery)
        await state.write(rows, gone)
        state.forget([one for one in gone if one not in rows.encounter_ids])
        state.note(dict(zip(rows.encounter_ids, rows.subject_ids, strict=True)))

    async def rebuild(self, gallery: Gallery) -> AsyncGenerator[IndexRows, None]:
        """Fill a new index from the records and let it take the old one's place; yield what was filled in.

        Until then searches ask the old one and mutations change both; a failure leaves the old one in
        service. Close the iterator where it is left early. Raises MaintenanceRunning and GalleryNotFound.
        """
        with suppress(FacegridError, ConfigurationError):  # what can't be filled can be made anew
            await self.fill(gallery)
        writer = self._state(gallery).writer
        async with (
            aclosing(self._records.live_rows(gallery)) as batches,
            aclosing(writer.replace(batches, lambda: not self.is_dropped(gallery))) as copied,
        ):
            async for rows in copied:
                yield rows
        await self.fill(gallery)
        await self._filling(gallery, self._state(gallery)).note_place()

    async def search(
        self, gallery: Gallery, probes: Floats, top: int, restriction: Restriction = UNRESTRICTED
    ) -> list[list[Hit]]:
        """Return for each probe of (N, dimension) the `top` best subjects that are allowed, best first."""
        return await best_subjects(self._index, gallery, self._state(gallery), probes, top, restriction)

    async def search_above(self, gallery: Gallery, probes: Floats, threshold: float) -> list[list[Hit]]:
        """Return for each probe of (N, dimension) the samples that score a threshold or more, best first.

        Raises InvalidField where these are more than the index returns.
        """
        return await samples_above(self._index, gallery, self._state(gallery), probes, threshold)

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
        await self._filling(gallery, state)()

    def _filling(self, gallery: Gallery, state: IndexState) -> Filling:
        def check() -> None:
            if self.is_dropped(gallery):
                raise self.gone(gallery)

        return Filling(self._records, self._index, gallery, state, check)

    def _known(self, gallery: Gallery) -> IndexState:
        new = IndexState(gallery, IndexWriter(self._index, gallery))
        return self._states.setdefault(gallery.gallery_id, new)


def _failed(task: asyncio.Task[None]) -> bool:
    return task.cancelled() or task.exception() is not None
