"""What the use cases need of the records."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from enum import Enum
from typing import Protocol

from facegrid.domain.calls import Call
from facegrid.domain.columns import TemplateColumns
from facegrid.domain.galleries import (
    Amendment,
    Encounter,
    Gallery,
    IndexRows,
    Subject,
    Tombstone,
    Watermark,
)
from facegrid.domain.inspection import Inspected

Hold = Callable[[Gallery, str], AbstractAsyncContextManager[None]]  # keeps writers away from a subject


class Claim(Enum):
    """What an earlier call with the same request id left."""

    NEW = "new"
    SEEN = "seen"
    DELETED = "deleted"


class GalleryRecords(Protocol):
    """The galleries of record."""

    async def create_gallery(self, gallery: Gallery, call: Call) -> Gallery:
        """Store a gallery; a repeated call returns the one it made. Raises GalleryExists, RequestIdReused."""
        ...

    async def gallery(self, name: str) -> Gallery:
        """Return a gallery by name. Raises GalleryNotFound."""
        ...

    async def update_gallery(self, name: str, change: Callable[[Gallery], Gallery]) -> Gallery:
        """Store a gallery's settings as `change` returns them, and return them. Raises GalleryNotFound.

        Of the changes that several servers make at once the last one stands.
        """
        ...

    async def galleries(self, after: str, limit: int, sees: Callable[[str], bool]) -> list[Gallery]:
        """Return up to `limit` galleries after `after` whose names `sees` accepts, in their names' order."""
        ...

    async def unname_gallery(self, name: str, call: Call) -> str:
        """Take the name away, the first step of a deletion, and return the gallery's id.

        A repeated call returns it again. Raises GalleryNotFound and RequestIdReused.
        """
        ...

    async def deleted_galleries(self) -> list[str]:
        """Return the ids of the galleries that were deleted, so that no index keeps templates of them."""
        ...

    async def nameless_galleries(self) -> list[str]:
        """Return the ids of the galleries that no name leads to: deletions, or creations, broken off."""
        ...

    async def erase_gallery(self, gallery_id: str) -> None:
        """Remove every object of a gallery without a name."""
        ...


class Records(Protocol):
    """The subjects of record. The caller serialises the writes to one subject."""

    async def find_claim(self, gallery: Gallery, encounter_id: str, call: Call) -> Claim:
        """Say what an earlier call with this request id left. Raises RequestIdReused."""
        ...

    async def claim(self, gallery: Gallery, subject_id: str, encounter_id: str, call: Call) -> Claim:
        """Bind a request id to its payload and encounter before anything else is written.

        Raises RequestIdReused.
        """
        ...

    async def commit(
        self, gallery: Gallery, encounter: Encounter, photographs: Sequence[bytes | None]
    ) -> None:
        """Make an encounter durable: photographs and templates first, its commit mark last.

        `photographs` has one entry a sample; None is not kept. From the mark on, the
        encounters of `encounter.replaces` are gone.
        """
        ...

    async def subject(self, gallery: Gallery, subject_id: str) -> Subject | None:
        """Return a subject with its encounters; None where there is none."""
        ...

    async def subjects(self, gallery: Gallery, after: str, limit: int) -> tuple[list[Subject], str]:
        """Return up to `limit` subjects and the cursor of the next page ('' at the end).

        Their order is stable and means nothing; their encounters are not filled in.
        """
        ...

    async def tombstone(self, gallery: Gallery, call: Call) -> Tombstone | None:
        """Return the tombstone that an earlier try of this call wrote. Raises RequestIdReused."""
        ...

    async def bury(self, gallery: Gallery, tombstone: Tombstone, call: Call) -> None:
        """Write a tombstone, the first step of a deletion: from here on its encounters are gone."""
        ...

    async def erase(self, gallery: Gallery, subject_id: str, encounter_ids: Sequence[str]) -> None:
        """Remove encounters and, with the last one, their subject; mark their request ids as deleted."""
        ...

    async def amendment(self, gallery: Gallery, call: Call) -> Amendment | None:
        """Return what an earlier try of this call changed, its labels aside. Raises RequestIdReused."""
        ...

    async def amend(self, gallery: Gallery, subject_id: str, amendment: Amendment, call: Call) -> None:
        """Write an amendment of a subject or of one of its encounters: from here on it counts."""
        ...

    async def settle(self, gallery: Gallery, call: Call) -> None:
        """Take note that the index knows what a call amended."""
        ...

    async def amended(self, gallery: Gallery) -> set[str]:
        """Return the encounters whose labels an index that holds their rows may not know."""
        ...

    async def begin_import(self, gallery: Gallery, call: Call, revision: int) -> "TemplateImport":
        """Begin to write encounters whose templates exist already; a revision first shows them."""
        ...

    async def export_page(self, gallery: Gallery, after: str) -> tuple[list[Encounter], str]:
        """Return some encounters, and the cursor of the next page ('' at the end); pages are of any size.

        All pages have each encounter once; what changes meanwhile may be there or not.
        """
        ...

    async def photograph(self, gallery: Gallery, encounter: Encounter, sample: int) -> bytes | None:
        """Return the photograph of a sample; None where it is not kept, or was removed."""
        ...

    def rows(self, gallery: Gallery) -> AsyncIterator[tuple[IndexRows, int]]:
        """Yield the rows of all encounters that are searched in batches; first finish what a crash broke off.

        Beside them stands the latest revision that first shows one of them.
        """
        ...

    def live_rows(self, gallery: Gallery) -> AsyncGenerator[IndexRows, None]:
        """Yield the rows of all active encounters in batches, beside other calls; nothing is changed.

        What changes before the last batch may be seen or not. Close the iterator where it is left early.
        """
        ...

    async def replaced(self, gallery: Gallery) -> list[str]:
        """Return, once `rows` has ended, every encounter that a change took away which is not compacted."""
        ...

    async def watermark(self, gallery_id: str) -> Watermark | None:
        """Return how far the gallery's index had come when that was last written down."""
        ...

    async def set_watermark(self, gallery_id: str, watermark: Watermark) -> None:
        """Write down how far the gallery's index has come, for other servers and for the next start."""
        ...

    def inspect(self, gallery: Gallery, hold: Hold, *, repair: bool) -> AsyncGenerator[Inspected, None]:
        """Read all records beside other calls; yield what is sound and what is wrong, and repair what can be.

        What is damaged is set aside, what a start would remove is removed. A subject of which something
        seems wrong is held and looked at again. Close the iterator where it is left early.
        """
        ...

    def due(self, loose: int, before: datetime) -> list[Gallery]:
        """Return the galleries in which so many changes wait to be compacted, or a deletion since so long."""
        ...

    async def compact(self, gallery: Gallery, hold: Hold) -> None:
        """Bring changes into the form that is read fast, beside other calls.

        It holds a subject while it moves its records. Of one gallery, one compaction runs at a time.
        """
        ...

    async def last_revision(self, gallery: Gallery) -> int:
        """Return the highest revision that a tombstone of the gallery states; 0 where there is none."""
        ...


class TemplateImport(Protocol):
    """Encounters on their way into the records; none counts before `publish`."""

    async def add(self, columns: TemplateColumns) -> None:
        """Write encounters."""
        ...

    async def publish(self, call: Call) -> int:
        """Let all encounters count, in one step, and return the revision that shows them.

        It is the earlier one of a retry, whose encounters are not written again; `call` has the digest of
        all that was added. Raises RequestIdReused.
        """
        ...

    async def discard(self) -> None:
        """Remove what was written, where it was not published."""
        ...

    def rows(self) -> AsyncIterator[IndexRows]:
        """Yield the rows of what was published, perhaps among others that are active."""
        ...
