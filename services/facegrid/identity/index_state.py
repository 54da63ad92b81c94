"""What is known of one gallery's index: what it shows, what it is not to show, and what it owes."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from facegrid.domain.galleries import Encounter, Gallery
from facegrid.identity.index_writer import IndexWriter


@dataclass(slots=True)
class IndexState:
    """One gallery's index. `hidden` encounters may be in the index and are not to be seen.

    `shown` has the subject of each encounter that is in the index, `subjects` the number of these by subject.
    `owed` are the encounters of which a change failed in the index: those to be shown, or None.
    """

    gallery: Gallery
    writer: IndexWriter
    filling: asyncio.Task[None] | None = None
    revision: int = 0
    given: int = 0
    swaps: int = 0
    hidden: set[str] = field(default_factory=set)
    shown: dict[str, str] = field(default_factory=dict)
    owed: dict[str, Encounter | None] = field(default_factory=dict)
    subjects: Counter[str] = field(default_factory=Counter)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def note(self, subject_of: dict[str, str]) -> None:
        """Count encounters that are in the index now."""
        self.subjects.update(subject_of[one] for one in subject_of.keys() - self.shown.keys())
        self.shown.update(subject_of)

    def hide(self, encounter_ids: Sequence[str]) -> None:
        """Count encounters no more, and let no search show them."""
        self.hidden.update(encounter_ids)
        self.forget(encounter_ids)

    def forget(self, encounter_ids: Sequence[str]) -> None:
        """Count encounters no more."""
        gone = [self.shown.pop(one) for one in encounter_ids if one in self.shown]
        for subject_id in gone:
            self.subjects[subject_id] -= 1
            if not self.subjects[subject_id]:
                del self.subjects[subject_id]

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
