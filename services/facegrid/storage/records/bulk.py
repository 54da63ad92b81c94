"""Templates that exist already, written as segments: all of them become visible in one step, or none does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa

from facegrid.domain.calls import Call
from facegrid.domain.columns import TemplateColumns
from facegrid.domain.errors import FacegridError, StoreUnavailable
from facegrid.domain.galleries import Amendment, IndexRows
from facegrid.domain.labels import Labels, Status
from facegrid.storage.objects.forms import to_json
from facegrid.storage.objects.store import ObjectMissing, ObjectStore
from facegrid.storage.records.claims import check_fingerprint
from facegrid.storage.records.columns import columns_of
from facegrid.storage.records.import_rows import ImportRows
from facegrid.storage.records.manifests import SegmentFile
from facegrid.storage.records.reading import inactive
from facegrid.storage.records.segment_files import SEGMENT_BYTES
from facegrid.storage.records.subjects import StoredSubjects

Run = Callable[..., Coroutine[Any, Any, Any]]
_MANIFESTS_MEANWHILE = 64
_INACTIVE = Labels(subject_status=Status.INACTIVE)


class SegmentImport:
    """Encounters on their way into segments.

    Compactions may go on beside it, some tens of them. What a crash leaves of it is removed when as many
    manifests more have come.
    """

    def __init__(
        self, store: ObjectStore, subjects: StoredSubjects, call: Call, revision: int, run: Run
    ) -> None:
        """Take the store, the gallery, the call, the revision that shows it, and what runs in threads."""
        self._store, self._subjects, self._run = store, subjects, run
        self._segments = subjects.segments
        self._rows, self._revision = ImportRows(subjects.layout, call, revision), revision
        self._last = self._segments.view.manifest.number + _MANIFESTS_MEANWHILE
        self._waiting: list[pa.Table] = []
        self._files: list[SegmentFile] = []
        self._writing: asyncio.Future[None] | None = None
        self._offered = False

    async def add(self, columns: TemplateColumns) -> None:
        """Keep encounters until they fill a segment, which is written while the next ones come."""
        self._waiting.append(await self._run(self._rows.table, columns))
        if sum(table.nbytes for table in self._waiting) >= SEGMENT_BYTES:
            await self._written()
            self._writing = asyncio.ensure_future(self._run(self._write, self._waiting))
            self._waiting = []

    async def publish(self, call: Call) -> int:
        """Let all count, in one step, and return the revision that shows them: an earlier one of a retry.

        Raises RequestIdReused, and StoreUnavailable where too many compactions came meanwhile.
        """
        await self._written()
        return int(await self._run(self._publish, call))

    async def discard(self) -> None:
        """Remove what was written and cannot count."""
        with suppress(FacegridError):
            await self._written()
        await self._run(self._discard)

    async def rows(self) -> AsyncIterator[IndexRows]:
        """Yield the index rows of the segments that hold the import, those of others among them."""
        while True:
            view = self._segments.view
            try:
                for segment in view.segments:
                    if segment.holds(self._rows.prefix):
                        yield (await self._run(self._subjects.index_rows, segment))[0]
            except ObjectMissing:
                if view is self._segments.view:
                    raise
            else:
                return

    async def _written(self) -> None:
        if self._writing:
            await asyncio.shield(self._writing)

    def _write(self, tables: Sequence[pa.Table]) -> None:
        self._files += self._segments.write(pa.concat_tables(tables), self._last)

    def _publish(self, call: Call) -> int:
        form = {"import": {"fingerprint": call.fingerprint, "revision": self._revision}}
        memory = columns_of([{"id": bytes.fromhex(self._rows.name), "record": to_json(form)}])
        self._write([*self._waiting, memory])
        with self._segments.writing:
            published = self._published(call)
            if published is None:
                published = self._revision
                self._take_statuses()
                self._offer()
        self._discard()
        return published

    def _published(self, call: Call) -> int | None:
        """Return the revision of the import where an earlier try of it counts."""
        record = self._segments.record(self._rows.name)
        if record is None:
            return None
        check_fingerprint(record["import"]["fingerprint"], call)
        return int(record["import"]["revision"])

    def _take_statuses(self) -> None:
        """Let an inactive subject's encounters be inactive, of which their rows do not know.

        A status that changes from here on has a later revision, and is folded into rows after these count.
        """
        for sid in inactive(self._subjects, np.frombuffer(self._rows.sids, "S16")):
            call = Call("ImportTemplates", f"{self._rows.name}/{self._revision}/{sid}")
            self._subjects.amend(sid, Amendment("", _INACTIVE, self._revision), call)
            self._subjects.amendments.settle(call)

    def _offer(self) -> None:
        view = self._segments.view
        if view.manifest.number >= self._last:
            raise StoreUnavailable("too much was compacted during the import; retry")
        self._offered = True
        if not self._segments.publish([*(one.file for one in view.segments), *self._files], 0):
            raise StoreUnavailable("another server writes to the gallery; retry")

    def _discard(self) -> None:
        if not self._offered:
            for file in self._files:
                self._store.delete(file.key)
