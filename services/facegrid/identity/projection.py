"""The indexes as projections of the records: filled at start, changed with them, never searched in part."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress

from facegrid.domain.errors import (
    ConfigurationError,
    FacegridError,
    GalleryNotFound,
    IndexLoading,
    RevisionNotReached,
    StoreUnavailable,
)
from facegrid.domain.faces import Floats
from facegrid.domain.galleries import Encounter, Gallery, IndexEntry, IndexRows, index_rows
from facegrid.domain.labels import Status
from facegrid.domain.matching import Hit, best_per_subject, is_settled
from facegrid.domain.revisions import next_revision
from facegrid.identity.index_state import IndexState
from facegrid.identity.index_writer import IndexWriter
from facegrid.identity.ports import Index, Records

_LONGEST_WAIT_S = 10.0
_ANSWER_MARGIN = 0.9
_HIDDEN_FOR_S = 60.0
_OVERFETCH = 4


class Projection:
    """Keeps each gallery's index equal to its records, as far as a search can tell."""

    def __init__(self, records: Records, index: Index) -> None:
        """Take the records and the index that projects them."""
        self._records, self._index = records, index
        self._states: dict[str, IndexState] = {}
        self._dropped: set[str] = set()

    @property
    def approximates(self) -> bool:
        """Whether galleries may be searched approximately here."""
        return self._index.approximates

    def is_exact(self, gallery: Gallery) -> bool:
        """Say whether a search of a gallery misses nothing."""
        return gallery.index.exact or not self._index.approximates

    def sizes(self) -> list[tuple[Gallery, int]]:
        """Return the galleries that are filled, or being filled, and their subjects so far, in any thread."""
        return [(state.gallery, len(state.subjects)) for state in [*self._states.values()]]

    def fill(self, gallery: Gallery) -> asyncio.Future[None]:
        """Begin to fill the gallery's index, if that was not done yet; the future ends with it.

        Raises GalleryNotFound.
        """
        if self.is_dropped(gallery):
            raise _deleted(gallery)
        state = self._states.setdefault(
            gallery.gallery_id, IndexState(gallery, IndexWriter(self._index, gallery))
        )
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

    def revision(self, gallery: Gallery) -> int:
        """Return the latest revision that searches see."""
        return self._state(gallery).revision

    def encounter_count(self, gallery: Gallery) -> int:
        """Return the number of encounters that a search covers."""
        return len(self._state(gallery).shown)

    def subject_count(self, gallery: Gallery) -> int:
        """Return the number of subjects that a search covers."""
        return len(self._state(gallery).subjects)

    def next_revision(self, gallery: Gallery) -> int:
        """Return the revision of a mutation that begins now."""
        state = self._state(gallery)
        state.given = next_revision(max(state.given, state.revision))
        return state.given

    async def add(self, gallery: Gallery, encounter: Encounter) -> None:
        """Show an encounter and, in the same step, no longer those that it replaces."""
        state = self._state(gallery)
        with state.owing({**dict.fromkeys(encounter.replaces), encounter.encounter_id: encounter}):
            if encounter.encounter_id not in state.shown and encounter.labels.status is Status.ACTIVE:
                await self._show(state, gallery, encounter)
            await self.remove(gallery, encounter.replaces, encounter.revision)

    async def _show(self, state: IndexState, gallery: Gallery, encounter: Encounter) -> None:
        if encounter.replaces:
            state.hidden.add(encounter.encounter_id)
        await state.writer.write(index_rows([encounter], gallery.dimension))
        if encounter.replaces:
            state.hidden.discard(encounter.encounter_id)
            state.swaps += 1
        state.note({encounter.encounter_id: encounter.subject_id})

    async def remove(self, gallery: Gallery, encounter_ids: Sequence[str], revision: int) -> None:
        """Take encounters out of all searches from now on."""
        state = self._state(gallery)
        if encounter_ids:
            state.hide(encounter_ids)
            with state.owing(dict.fromkeys(encounter_ids)):
                await state.writer.write(gone=encounter_ids)
            # An index may show a removed row for a moment, and a search may be under way.
            forget = state.hidden.difference_update
            asyncio.get_running_loop().call_later(_HIDDEN_FOR_S, forget, tuple(encounter_ids))
        async with state.changed:
            state.revision = max(state.revision, revision)
            state.changed.notify_all()

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
        await state.writer.write(rows, gone)
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

    async def search(self, gallery: Gallery, probes: Floats, top: int) -> list[list[Hit]]:
        """Return for each probe of (N, dimension) the `top` best subjects, best first."""
        state, limit = self._state(gallery), top * _OVERFETCH
        while True:
            swaps = state.swaps
            found = await self._index.search(gallery.gallery_id, probes, limit, gallery.index)
            if state.swaps != swaps:
                continue  # a replacement went by: these rows may show its subject twice, or not at all
            seen = [[hit for hit in hits if hit.encounter_id not in state.hidden] for hits in found]
            if all(
                len(hits) < limit or is_settled(visible, top)
                for hits, visible in zip(found, seen, strict=True)
            ):
                return [best_per_subject(visible)[:top] for visible in seen]
            limit *= _OVERFETCH

    async def search_above(self, gallery: Gallery, probes: Floats, threshold: float) -> list[list[Hit]]:
        """Return for each probe of (N, dimension) the samples that score a threshold or more, best first.

        Raises InvalidField where these are more than the index returns.
        """
        state, limit = self._state(gallery), _OVERFETCH**3
        while True:
            found = await self._index.search(gallery.gallery_id, probes, limit, gallery.index)
            if all(len(hits) < limit or hits[-1].score < threshold for hits in found):
                return [
                    [hit for hit in hits if hit.score >= threshold and hit.encounter_id not in state.hidden]
                    for hits in found
                ]
            limit *= _OVERFETCH

    async def build(self, gallery: Gallery) -> None:
        """Wait until the index is as searches will find it when nothing changes any more."""
        await self._index.build(gallery.gallery_id)

    async def drop(self, gallery_id: str) -> None:
        """Forget a deleted gallery, for good; those who wait for it get GalleryNotFound."""
        self._dropped.add(gallery_id)
        state = self._states.pop(gallery_id, None)
        if state and state.filling:
            await asyncio.wait([state.filling])
        await self._index.drop(gallery_id)

    def is_dropped(self, gallery: Gallery) -> bool:
        """Say whether the gallery was deleted while this process runs."""
        return gallery.gallery_id in self._dropped

    def _state(self, gallery: Gallery) -> IndexState:
        try:
            return self._states[gallery.gallery_id]
        except KeyError:
            raise _deleted(gallery) from None

    async def _fill(self, gallery: Gallery, state: IndexState) -> None:
        present = await self._index.open(
            gallery.gallery_id, gallery.template_version, gallery.dimension, gallery.index
        )
        async for rows, revision in self._records.rows(gallery):
            if self.is_dropped(gallery):
                raise _deleted(gallery)
            keys = rows.keys if present else ()
            missing = [row for row, key in enumerate(keys) if key not in present]
            await self._index.add(gallery.gallery_id, rows.take(missing) if keys else rows)
            present.difference_update(keys)
            state.note(dict(zip(rows.encounter_ids, rows.subject_ids, strict=True)))
            state.revision = max(state.revision, revision)
        gone = {key.partition("/")[0] for key in present}
        await self._index.remove(gallery.gallery_id, sorted(gone))
        state.revision = max(state.revision, await self._records.last_revision(gallery))


def _deleted(gallery: Gallery) -> GalleryNotFound:
    return GalleryNotFound(f"gallery {gallery.name} was deleted meanwhile", field="gallery")


def _failed(task: asyncio.Task[None]) -> bool:
    return task.cancelled() or task.exception() is not None


def _patience(deadline: float | None) -> float:
    """Return the seconds to wait: so few that the answer at their end is ours, and not the deadline's."""
    left = math.inf if deadline is None else max(0.0, deadline - time.monotonic())
    return min(left * _ANSWER_MARGIN, _LONGEST_WAIT_S)
