"""The records as a server sees them that only reads: what another one wrote shows at the next read."""

import threading
import time

from facegrid.domain.errors import GalleryNotFound
from facegrid.domain.galleries import Gallery, Subject
from facegrid.identity.recent import Recent
from facegrid.storage.objects.store import ObjectMissing, ObjectStore
from facegrid.storage.records.records import StoredRecords
from facegrid.storage.records.segments import View
from facegrid.storage.records.subjects import StoredSubjects


class FollowedRecords(StoredRecords):
    """StoredRecords on a store that another server writes to."""

    def __init__(self, store: ObjectStore, workers: int) -> None:
        """Take the store and the number of threads that may wait for it."""
        super().__init__(store, workers)
        self._recent = Recent(self._look_up)

    async def gallery(self, name: str) -> Gallery:
        """Return a gallery by name, as it was a moment ago. Raises GalleryNotFound."""
        return await self._recent.get(name)

    async def subject(self, gallery: Gallery, subject_id: str) -> Subject | None:
        """Return a subject; None where two looks find none, since it may be replaced during the first."""
        return await super().subject(gallery, subject_id) or await super().subject(gallery, subject_id)

    async def _look_up(self, name: str) -> Gallery:
        try:
            return await self._run(self._galleries.get, name)
        except GalleryNotFound:
            if gone := self._galleries.known(name):
                self._subjects.pop(gone.gallery_id, None)
            raise

    def _opened(self, gallery: Gallery) -> StoredSubjects:
        return FollowedSubjects(self._store, gallery)


class FollowedSubjects(StoredSubjects):
    """StoredSubjects that another server writes; no method is called that does.

    A refresh reads tombstones and amendments before the manifest, and all after a subject's objects were
    listed. So what the writer's compaction took away of the former is in the latter.
    """

    def _open(self) -> None:
        self._refreshing, self._refreshed = threading.Lock(), 0.0
        self._seen: dict[str, tuple[str, ...]] = {}
        self.refresh()

    def refresh(self) -> View:
        """Learn of tombstones, amendments and segments that were written, and of those that went."""
        asked = time.monotonic()
        with self._refreshing:
            if self._refreshed < asked:  # else another thread's look was later than our question
                began = time.monotonic()
                self._look()
                self._refreshed = began
            return self.segments.view

    def _look(self) -> None:
        names = set(self.tombstones.names())
        for name in names - self._seen.keys():
            try:
                self._seen[name] = self.tombstones.read(name).encounter_ids
            except ObjectMissing:
                continue  # compacted meanwhile
            self.segments.erase(self._seen[name])
        amendments = self.amendments.look()
        self.segments.reload()
        for name in self._seen.keys() - names:
            self.segments.forget(self._seen.pop(name))
        self.amendments.keep(amendments)
        self.claims.void.clear()  # a retry of the writer's may have made them valid again
