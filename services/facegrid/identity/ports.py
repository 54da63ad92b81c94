"""What the use cases need from the world. Adapters fit these by shape and inherit nothing."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.attributes import Attribute, FaceAttributes
from facegrid.domain.calls import Call
from facegrid.domain.detection import DetectionOptions
from facegrid.domain.faces import DetectedFace, Detection, Floats
from facegrid.domain.galleries import Encounter, Gallery, IndexEntry, IndexRows, Subject, Tombstone
from facegrid.domain.index_settings import EXACT_INDEX, IndexSettings
from facegrid.domain.inspection import Inspected
from facegrid.domain.matching import Hit
from facegrid.domain.packs import Pack
from facegrid.domain.templates import Template

Hold = Callable[[Gallery, str], AbstractAsyncContextManager[None]]  # keeps writers away from a subject


class Packs(Protocol):
    """The model packs that this server holds."""

    def pack(self, name: str) -> Pack:
        """Return a pack. Raises PackNotFound."""
        ...


class Detector(Protocol):
    """Finds faces."""

    async def detect(
        self, photograph: bytes, pack: str, alignments: Sequence[str], options: DetectionOptions
    ) -> Detection:
        """Decode the photograph, find its faces and cut one crop for each face and alignment.

        Raises InvalidPhotograph, PhotographTooLarge and PackNotFound.
        """
        ...


class Embedder(Protocol):
    """Turns aligned crops into templates."""

    async def embed(self, crops: NDArray[np.uint8], pack: str) -> list[Template]:
        """Return a template for each crop of uint8 RGB (N, side, side, 3). Raises PackNotFound."""
        ...


class AttributeReader(Protocol):
    """Reads of faces what is not their identity."""

    async def read(
        self, faces: Sequence[DetectedFace], pack: str, attributes: Collection[Attribute]
    ) -> list[FaceAttributes]:
        """Return the attributes of each face, which carries the crops that the pack reads them off.

        The faces are those of one photograph, the attributes some of the pack's. Raises PackNotFound.
        """
        ...


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

    async def galleries(self, after: str, limit: int) -> list[Gallery]:
        """Return up to `limit` galleries whose names come after `after`, in the order of their names."""
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
        """Return a subject with its active encounters; None where there is none."""
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

    def rows(self, gallery: Gallery) -> AsyncIterator[tuple[IndexRows, int]]:
        """Yield the rows of all active encounters in batches, after finishing what a crash left half done.

        Beside them stands the latest revision that first shows one of them.
        """
        ...

    def live_rows(self, gallery: Gallery) -> AsyncGenerator[IndexRows, None]:
        """Yield the rows of all active encounters in batches, beside other calls; nothing is changed.

        What changes before the last batch may be seen or not. Close the iterator where it is left early.
        """
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


class Index(Protocol):
    """A projection of one or more galleries that can be searched. `gallery` is a gallery's id."""

    approximates: bool  # whether it can search approximately; otherwise every search is exact

    async def open(
        self, gallery: str, version: str, dimension: int, settings: IndexSettings = EXACT_INDEX
    ) -> set[str]:
        """Make the index of a gallery ready and return the keys of the rows that it holds already."""
        ...

    async def check(self) -> None:
        """Raise StoreUnavailable where searches cannot be answered now."""
        ...

    async def add(self, gallery: str, rows: IndexRows) -> None:
        """Add rows; one whose key is there is overwritten."""
        ...

    async def remove(self, gallery: str, encounter_ids: Sequence[str]) -> None:
        """Remove the rows of these encounters; unknown ids are ignored."""
        ...

    async def search(
        self, gallery: str, probes: Floats, limit: int, settings: IndexSettings = EXACT_INDEX
    ) -> list[list[Hit]]:
        """Return for each probe of (N, dimension) the `limit` best rows, best first, with exact scores.

        Fewer hits than `limit` mean that the index holds, or an approximate search finds, no more rows.
        """
        ...

    def entries(
        self, gallery: str, encounter_ids: Sequence[str] | None = None
    ) -> AsyncIterator[list[IndexEntry]]:
        """Yield in pages what the index holds of some encounters, of all where None is given.

        A row that is there from the first page to the last comes once, or twice where others go meanwhile.
        """
        ...

    async def begin(
        self, gallery: str, version: str, dimension: int, settings: IndexSettings = EXACT_INDEX
    ) -> str:
        """Begin an empty index beside that of a gallery; return the name that the methods know it by."""
        ...

    async def promote(self, gallery: str, beside: str) -> None:
        """Let an index that was begun beside a gallery's take its place in one step, and remove the old."""
        ...

    async def build(self, gallery: str) -> None:
        """Wait until the index is as searches will find it when nothing changes any more."""
        ...

    async def drop(self, gallery: str) -> None:
        """Remove the whole index of a gallery, if there is one."""
        ...

    def close(self) -> None:
        """Let go of threads and connections."""
        ...
