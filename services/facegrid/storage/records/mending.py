"""Objects that belong to no subject: which are damaged, and the repair of those of which nothing is lost.

That is so where another object, a row or the memory of this process has what they said. All others are
left as they are: a backup has to bring them back.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from facegrid.domain.galleries import Gallery
from facegrid.domain.inspection import Finding, Problem
from facegrid.storage.objects.forms import read, read_as_is, to_json
from facegrid.storage.objects.store import ObjectMissing, ObjectStore, UnreadableObject
from facegrid.storage.records.amendments import parse_amendment
from facegrid.storage.records.claims import parse_claim, unknown_claim
from facegrid.storage.records.folders import SubjectFolder
from facegrid.storage.records.layout import GalleryLayout
from facegrid.storage.records.manifests import Manifest, Manifests, SegmentFile
from facegrid.storage.records.segments import Segments
from facegrid.storage.records.tombstones import Tombstones, parse_tombstone

if TYPE_CHECKING:  # pyarrow takes half a second to import
    from facegrid.storage.records.segment import Segment

Spared = Callable[[str, str], bool]  # of a subject's hash and an encounter's id


@dataclass(frozen=True, slots=True)
class Mending:
    """Looks at one gallery's objects, and mends what it may; each method blocks."""

    store: ObjectStore
    gallery: Gallery
    repair: bool

    @property
    def layout(self) -> GalleryLayout:
        """The gallery's keys."""
        return GalleryLayout(self.gallery)

    def obstacles(self) -> list[Finding]:
        """Return what keeps a gallery from being opened."""
        from facegrid.storage.records.segment import Segment  # noqa: PLC0415  # see above

        findings, segments = list[Finding](), None
        try:
            files = Manifests(self.store, self.layout.segments).newest().files
        except UnreadableObject:
            findings.append(_damaged(self._newest_manifest()))
        else:
            bad = [file for file in files if not is_readable(partial(Segment, self.store, file))]
            findings += self.segments(dict.fromkeys(bad), lambda *_: False)
        if all(one.repaired for one in findings):
            segments = Segments(self.store, self.layout)
        return [*findings, *self.tombstones(segments), *self.amendments()]

    def segments(self, bad: "Mapping[SegmentFile, Segment | None]", spared: Spared) -> Iterator[Finding]:
        """Write the rows of bad segments again where all that can't be read are spared."""
        for file, segment in bad.items():
            yield _damaged(file.key, repaired=self.repair and self._rewrite(file, segment, spared))

    def _rewrite(self, file: SegmentFile, segment: "Segment | None", spared: Spared) -> bool:
        from facegrid.storage.records.segment_files import whole_rows, write_segments  # noqa: PLC0415  # see above

        try:
            rows = (
                segment.sound_rows(spared)
                if segment
                else whole_rows(read_as_is(self.store, file.key, file.size))
            )
        except (ObjectMissing, UnreadableObject):
            return False
        if rows is None:
            return False
        manifests = Manifests(self.store, self.layout.segments)
        old = manifests.newest()
        written = write_segments(self.store, lambda: manifests.segment_key(old.number + 1), rows)
        files = (*(one for one in old.files if one != file), *written)
        if not manifests.publish(new := replace(old, number=old.number + 1, files=files)):
            return False
        manifests.sweep(new)
        return True

    def manifest(self, shown: Manifest) -> Iterator[Finding]:
        """Publish what this process shows anew where the newest manifest can't be read, or is gone."""
        manifests = Manifests(self.store, self.layout.segments)
        if not is_readable(partial(manifests.newest, shown.number)):
            key = self._newest_manifest()
            new = replace(shown, number=shown.number + 1)
            if repaired := self.repair and manifests.publish(new):
                manifests.sweep(new)
            yield _damaged(key, repaired=repaired)

    def _newest_manifest(self) -> str:
        prefix = f"{self.layout.segments}manifests/"
        return [prefix, *self.store.keys(prefix)][-1]

    def tombstones(self, segments: Segments | None) -> Iterator[Finding]:
        """Write those again of which rows say what they hide; where there are no rows, they hide nothing."""
        for key, name in self._bad(self.layout.tombstones, parse_tombstone):
            repaired = self.repair and segments is not None and self._write_tombstone(key, name, segments)
            yield _damaged(key, repaired=repaired)

    def _write_tombstone(self, key: str, name: str, segments: Segments) -> bool:
        record = segments.record(name)
        if record is None and segments.view.segments:
            return False
        if record is None:
            self._copy_aside(key)
            self.store.delete(key)
        elif "tombstone" in record:
            self.store.put(key, to_json(record["tombstone"]))
        else:
            Tombstones(self.store, self.layout, segments).write_for_row(name)
        return True

    def amendments(self) -> Iterator[Finding]:
        """Name those that can't be read."""
        for key, _ in self._bad(self.layout.amendments, partial(parse_amendment, "")):
            yield _damaged(key)

    def claims(self, segments: Segments, folders: Callable[[], Iterable[SubjectFolder]]) -> Iterator[Finding]:
        """Let claims say again what became of their encounters: what is in no folder and no row was deleted.

        The call's payload is no longer known, so that a retry is answered, or refused, whatever it has.
        """
        bad = dict(self._bad(self.layout.claims, parse_claim))
        sids = {one: folder.sid for folder in folders() for one in folder.encounter_ids} if bad else {}
        for key, one in bad.items():
            if self.repair:
                self._copy_aside(key)
                if one in segments:
                    self.store.delete(key)
                else:  # over the old one: without a claim, what was deleted could be enrolled again
                    state = "active" if one in sids and one not in segments.erased else "deleted"
                    sid = {"sid": sids[one]} if one in sids else {}
                    self.store.put(key, to_json({**unknown_claim(one, state), **sid}))
            yield _damaged(key, repaired=self.repair)

    def _bad(self, prefix: str, parse: Callable[..., object]) -> Iterator[tuple[str, str]]:
        for key in self.store.keys(prefix):
            try:
                read(self.store, key, parse)
            except ObjectMissing:
                continue  # removed meanwhile
            except UnreadableObject:
                yield key, key.removeprefix(prefix).removesuffix(".json")

    def _copy_aside(self, key: str) -> None:
        self.store.put(f"{self.layout.set_aside()}{_kind_and_name(key)}", read_as_is(self.store, key))


def is_readable(reading: Callable[[], object]) -> bool:
    """Say whether something is there, and undamaged."""
    try:
        reading()
    except (ObjectMissing, UnreadableObject):
        return False
    return True


def _damaged(key: str, *, repaired: bool = False) -> Finding:
    return Finding(Problem.DAMAGED, _kind_and_name(key), repaired)


def _kind_and_name(key: str) -> str:
    return "/".join(key.split("/")[-2:])
