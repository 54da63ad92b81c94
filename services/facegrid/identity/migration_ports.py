"""What migrations need of the records, beside what all use cases need."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from facegrid.domain.calls import Call
from facegrid.domain.galleries import Encounter, Gallery
from facegrid.domain.migrations import LeftBehind


class TwinRecords(Protocol):
    """The records of galleries of which two have one name, as of one whose key they share."""

    async def migrate(self, name: str, change: Callable[[Gallery], Gallery]) -> Gallery:
        """Let a name lead to what `change` makes of its gallery and migration, in one step.

        Raises GalleryNotFound, and what `change` raises.
        """
        ...

    async def end_migration(self, name: str, call: Call, check: Callable[[Gallery], None]) -> str:
        """Take the twin's name away, the first step of its deletion, and return its id.

        A repeated call returns it again; else `check` may refuse. Raises GalleryNotFound, RequestIdReused.
        """
        ...

    async def photograph(self, gallery: Gallery, encounter: Encounter, sample: int) -> bytes:
        """Return the photograph of a sample that has one. Raises ConfigurationError where it is damaged."""
        ...

    async def adopt(self, source: Gallery, target: Gallery, encounter: Encounter, since: datetime) -> None:
        """Make an encounter of `source` durable in `target`, its request id and photographs with it.

        Its templates are those of `target`; `since` is when its subject was made.
        """
        ...

    async def gone(self, gallery: Gallery, encounter_ids: Sequence[str]) -> set[str]:
        """Return those of the encounters that a deletion took away; the others may never have been here."""
        ...

    async def remember(self, source: Gallery, target: Gallery, encounter_ids: Sequence[str]) -> None:
        """Let the request ids of encounters that are gone from `source` be refused by `target` as well."""
        ...

    async def remember_all(self, source: Gallery, target: Gallery) -> None:
        """Let `target` answer the retry of whatever deleted something from `source`, or was deleted."""
        ...

    async def leave_behind(self, gallery: Gallery, left: LeftBehind) -> None:
        """Note that the gallery lacks an encounter."""
        ...

    async def settle(self, gallery: Gallery, encounter_ids: Sequence[str]) -> None:
        """Note that the gallery lacks none of these encounters any more."""
        ...

    async def settle_all(self, gallery: Gallery) -> None:
        """Forget all that the gallery lacks."""
        ...

    async def left_behind(self, gallery: Gallery, after: str, limit: int) -> list[LeftBehind]:
        """Return up to `limit` encounters that the gallery lacks, in the order of their ids after `after`."""
        ...

    async def count_left_behind(self, gallery: Gallery) -> int:
        """Return the number of encounters that the gallery lacks."""
        ...
