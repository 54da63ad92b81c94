"""What is known of one gallery's index: what it shows, what it is not to show, and what it owes."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from facegrid.domain.galleries import Encounter, Gallery, IndexRows, Watermark
from facegrid.domain.revisions import next_revision
from facegrid.identity.index_writer import IndexWriter


@dataclass(slots=True, eq=False)
class Streaming:
    """Rows on their way to an index: the encounters of each step under way, and those that others wrote."""

    steps: dict[asyncio.Task[int], Sequence[str]] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)


@dataclass(slots=True)
class IndexState:
    """One gallery's index. `hidden` encounters may be in the index and are not to be seen.

    `streams` are the rows of many encounters that are on their way to it.
    `shown` has the subject of each encounter that is in the index, `subjects` the number of these by subject.
    `owed` are the encounters of which a change failed in the index: those to be shown, or None. `begun` are
    the revisions of mutations under way. `place` and watermarks, `settling` with its time, are empty until
    the index is filled.
    """

    gallery: Gallery
    writer: IndexWriter
    filling: asyncio.Task[None] | None = None
    revision: int = 0
    given: int = 0
    swaps: int = 0
    hidden: set[str] = field(default_factory=set)
    streams: list[Streaming] = field(default_factory=list)
    shown: dict[str, str] = field(default_factory=dict)
    owed: dict[str, Encounter | None] = field(default_factory=dict)
    subjects: Counter[str] = field(default_factory=Counter)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    begun: set[int] = field(default_factory=set)
    complete: bool = True
    place: str = ""
    settling: tuple[float, Watermark] | None = None
    published: Watermark | None = None

    @property
    def watermark(self) -> Watermark:
        """How far the index has come."""
        done = min(self.begun) - 1 if self.begun else max(self.given, self.revision)
        return Watermark(self.place, done, len(self.subjects), self.complete)

    def settled(self, now: float, after_s: float) -> Watermark | None:
        """Return how far the index had come some time ago; None where that is not known, or was published."""
        if self.settling and now - self.settling[0] < after_s:
            return None
        due, self.settling = self.settling, (now, self.watermark) if self.place else None
        return due[1] if due and due[1] != self.published else None

    @contextmanager
    def revise(self) -> Iterator[int]:
        """Give a mutation its revision, which no watermark reaches until the context ends."""
        revision = self.given = next_revision(max(self.given, self.revision))
        self.begun.add(revision)
        try:
            yield revision
        except BaseException:
            self.complete = False
            raise
        finally:
            self.begun.discard(revision)

    @contextmanager
    def owing(self, changes: Mapping[str, Encounter | None]) -> Iterator[None]:
        """Note changes that fail in the index, until they are made."""
        try:
            yield
        except BaseException:
            self.owed.update(changes)
            raise
        for encounter_id in changes:
            self.owed.pop(encounter_id, None)

    async def write(self, rows: IndexRows | None = None, gone: Sequence[str] = ()) -> None:
        """Write what counts of encounters by now; no stream brings back what it read of them before."""
        ids, passed = {*gone, *(rows.encounter_ids if rows else ())}, list[asyncio.Task[int]]()
        for stream in self.streams:
            stream.written |= ids
            passed += [step for step, shown in stream.steps.items() if not ids.isdisjoint(shown)]
        if passed:
            await asyncio.wait(passed)
        await self.writer.write(rows, gone)

    def note(self, subject_of: Mapping[str, str]) -> None:
        """Count encounters that are in the index now."""
        self.subjects.update(subject_of[one] for one in subject_of.keys() - self.shown.keys())
        self.shown.update(subject_of)

    def hide(self, encounter_ids: Sequence[str]) -> None:
        """Let searches leave encounters out, and count them no more."""
        self.hidden.update(encounter_ids)
        self.forget(encounter_ids)

    def forget(self, encounter_ids: Sequence[str]) -> None:
        """Count encounters no more."""
        gone = [self.shown.pop(one) for one in encounter_ids if one in self.shown]
        for subject_id in gone:
            self.subjects[subject_id] -= 1
            if not self.subjects[subject_id]:
                del self.subjects[subject_id]
