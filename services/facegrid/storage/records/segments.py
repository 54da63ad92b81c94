"""The compacted records of a gallery: the rows of the segments that the newest manifest names."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import merge
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from facegrid.domain.galleries import Encounter
from facegrid.storage.objects.forms import Form, decode
from facegrid.storage.objects.store import ObjectMissing, ObjectStore, UnreadableObject
from facegrid.storage.records.codec import parse_encounter, parse_subject, with_vectors
from facegrid.storage.records.layout import GalleryLayout
from facegrid.storage.records.manifests import Manifest, ManifestMissing, Manifests, SegmentFile

if TYPE_CHECKING:  # pyarrow takes half a second to import, and small galleries do without
    from facegrid.storage.records.segment import Segment

T = TypeVar("T")
LAST_SID = "f" * 32
Head = tuple[str, datetime]  # a subject's id, and when it was made


@dataclass(frozen=True, slots=True)
class View:
    """What one manifest shows."""

    manifest: Manifest
    segments: tuple["Segment", ...] = ()


class Segments:
    """The rows of one gallery. Ids and hashes are 32 hexadecimal digits; each method blocks.

    An erased row is hidden until a compaction removes it.
    """

    def __init__(
        self,
        store: ObjectStore,
        layout: GalleryLayout,
        amend: Callable[[Encounter], Encounter] = lambda encounter: encounter,
    ) -> None:
        """Open what the newest manifest names; `amend` returns an encounter of a row as it is now."""
        self._store, self._layout, self._amend = store, layout, amend
        self.manifests = Manifests(store, layout.segments)
        self.view = View(Manifest())
        self.writing, self._swapping = threading.Lock(), threading.Lock()
        self.erased: set[str] = set()
        self.reload()

    def own(self) -> None:
        """Keep what a former owner publishes late from counting, and remove what counts no more.

        Where the object of the gallery's settings is gone, the gallery was deleted: nothing is written. A
        manifest counts by the highest number, and no number is published twice while it is the highest. So
        once one of ours is, whatever was offered to follow an earlier one is refused, or swept away.
        """
        if not (self.view.manifest.number or self._has_settings()):
            return
        while not self.manifests.publish(replace(self.view.manifest, number=self.view.manifest.number + 1)):
            self.reload()
        self.reload()
        self.manifests.sweep(self.view.manifest)

    def _has_settings(self) -> bool:
        try:
            self._store.get(self._layout.settings)
        except ObjectMissing:
            return False
        return True

    def reload(self) -> None:
        """Open the newest manifest, where it is another. Raises ManifestMissing and UnreadableObject."""
        while (manifest := self._newest()).number != self.view.manifest.number:
            try:
                self._open(manifest)
            except ObjectMissing as missing:
                if manifest == self._newest():
                    raise UnreadableObject.missing(missing) from None

    def _newest(self) -> Manifest:
        try:
            return self.manifests.newest(self.view.manifest.number)
        except ManifestMissing:
            if self._has_settings():
                raise
            return Manifest()  # the gallery was deleted

    def _open(self, manifest: Manifest) -> None:
        segments = self._opened(manifest) if manifest.files else ()
        with self._swapping:
            self._hide(segments, self.erased)
            self.view = View(manifest, segments)

    def _opened(self, manifest: Manifest) -> tuple["Segment", ...]:
        from facegrid.storage.records.segment import Segment  # noqa: PLC0415  # see above

        opened = {segment.file: segment for segment in self.view.segments}
        return tuple(opened.get(file) or Segment(self._store, file) for file in manifest.files)

    def write(self, rows: Any, last: int = 0) -> list[SegmentFile]:
        """Write rows, a pyarrow Table, to segments that the next manifest may name; hold `writing`.

        With the number of a `last` manifest that may name them, they may be written beside others who write.
        """
        from facegrid.storage.records.segment_files import write_segments  # noqa: PLC0415  # see above

        number = last or self.view.manifest.number + 1
        return write_segments(self._store, lambda: self.manifests.segment_key(number), rows)

    def publish(self, files: Iterable[SegmentFile], last_revision: int) -> bool:
        """Let segments alone count; False where another manifest came first. Hold `writing`."""
        old = self.view.manifest
        revision = max(old.last_revision, last_revision)
        won = self.manifests.publish(Manifest(old.number + 1, tuple(files), revision))
        self.reload()
        self.manifests.sweep(self.view.manifest)
        return won

    def erase(self, encounter_ids: Iterable[str]) -> None:
        """Hide encounters, those included that a compaction is about to bring."""
        ids = list(encounter_ids)
        with self._swapping:
            self.erased.update(ids)
            self._hide(self.view.segments, ids)

    def forget(self, encounter_ids: Iterable[str]) -> None:
        """Let go of erased ids of which no segment has an encounter any more."""
        with self._swapping:
            self.erased.difference_update(encounter_ids)

    def hides(self) -> bool:
        """Say whether any row is hidden."""
        return any(segment.hidden.any() for segment in self.view.segments)

    def __contains__(self, one: str) -> bool:
        """Say whether a row has this id, hidden or not."""
        return self._find(self.view, one) is not None

    def sid(self, encounter_id: str) -> str | None:
        """Return the hash of the subject of an encounter, hidden or not."""
        found = self._find(self.view, encounter_id)
        if found is None or found[1] >= len(found[0].sids):
            return None
        return found[0].sid(found[1])

    def has_subject(self, sid: str) -> bool:
        """Say whether a subject has an encounter that is not hidden."""
        return any(segment.rows_of(bytes.fromhex(sid)) for segment in self.view.segments)

    def shows(self, encounter_id: str) -> bool:
        """Say whether an encounter has a row that is not hidden."""
        found = self._find(self.view, encounter_id)
        return found is not None and found[1] < len(found[0].sids) and not found[0].hidden[found[1]]

    def record(self, one: str) -> Form | None:
        """Return what the row of an id holds; None where there is none."""

        def read(view: View) -> Form | None:
            if (found := self._find(view, one)) is None:
                return None
            segment, row = found
            return decode(segment.file.key, segment.read([row], ["record"])[0]["record"], dict)

        return self._steadily(read)

    def memories(self) -> list[tuple[str, Form]]:
        """Return what is remembered of deletions, by the ids of encounters and the names of tombstones."""

        def read(view: View) -> list[tuple[str, Form]]:
            return [
                (segment.ids[row : row + 1].tobytes().hex(), decode(segment.file.key, found["record"], dict))
                for segment in view.segments
                for rows in [[*np.flatnonzero(segment.hidden), *range(len(segment.sids), len(segment.ids))]]
                for row, found in zip(rows, segment.read(rows, ["record"]), strict=True)
            ]

        return self._steadily(read)

    def subject(self, sid: str, *, with_encounters: bool) -> tuple[list[Head], list[Encounter]]:
        """Return what the rows of a subject say of it, and its encounters; those hidden do not count."""
        columns = ["record", "vectors"] if with_encounters else ["record"]

        def read(view: View) -> list[tuple[Head, Encounter]]:
            return [
                self._parse(segment, row)
                for segment in view.segments
                if (rows := segment.rows_of(bytes.fromhex(sid)))
                for row in segment.read(rows, columns)
            ]

        found = self._steadily(read)
        return [head for head, _ in found], [encounter for _, encounter in found]

    def sid_ahead(self, after: str, rows: int) -> str:
        """Return a hash up to which there are about so many rows after another one, but no more."""
        segments = self.view.segments
        share = max(1, rows // max(1, len(segments)))
        found = [segment.sid_ahead(bytes.fromhex(after), share) for segment in segments]
        return min((one.hex() for one in found if one), default=LAST_SID)

    def between(self, after: str, last: str) -> list[Encounter]:
        """Return the encounters of the subjects whose hashes lie in a range, the last included."""
        ends, columns = (bytes.fromhex(after), bytes.fromhex(last)), ["record", "vectors"]

        def read(view: View) -> list[Encounter]:
            return [
                self._parse(segment, row)[1]
                for segment in view.segments
                for row in segment.between(*ends, columns)
            ]

        return self._steadily(read)

    def sids(self, after: str) -> Iterator[str]:
        """Yield the hashes of all subjects after one, in order."""
        return merge(*(segment.sids_after(after) for segment in self.view.segments))

    def encounters(self, segment: "Segment") -> Iterator[Encounter]:
        """Yield the encounters of a segment."""
        for row in segment.rows(["record", "vectors"]).to_pylist():
            yield self._parse(segment, row)[1]

    def _parse(self, segment: "Segment", row: Mapping[str, Any]) -> tuple[Head, Encounter]:
        def parse(form: Form) -> tuple[Head, Encounter]:
            encounter = self._amend(parse_encounter(form["encounter"], self._layout.gallery.template_version))
            if "vectors" in row:
                vectors = np.frombuffer(row["vectors"], "<f4").astype(np.float32)
                encounter = with_vectors(encounter, list(vectors.reshape(-1, self._layout.gallery.dimension)))
            return parse_subject(form["subject"]), encounter

        return decode(segment.file.key, row["record"], parse)

    def _steadily(self, read: Callable[[View], T]) -> T:
        """Read from the view that counts, again where a compaction took it away meanwhile."""
        while True:
            view = self.view
            try:
                return read(view)
            except ObjectMissing as missing:
                self.reload()
                if view is self.view:
                    raise UnreadableObject.missing(missing) from None

    @staticmethod
    def _find(view: View, one: str) -> "tuple[Segment, int] | None":
        for segment in view.segments:
            if (row := segment.find(bytes.fromhex(one))) is not None:
                return segment, row
        return None

    @staticmethod
    def _hide(segments: Sequence["Segment"], encounter_ids: Iterable[str]) -> None:
        for one in encounter_ids:
            for segment in segments:
                segment.hide(bytes.fromhex(one))
