"""The two galleries of a migration, kept alike subject by subject.

An encounter belongs into both unless either remembers its deletion. So a subject can be aligned at any time
and in either direction: a crash between two writes leaves nothing that the next alignment does not finish.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from facegrid.domain.calls import Call
from facegrid.domain.errors import (
    ConfigurationError,
    FacegridError,
    GalleryMoved,
    InvalidPhotograph,
    PhotographTooLarge,
)
from facegrid.domain.faces import DetectedFace
from facegrid.domain.galleries import Encounter, Gallery, Subject, Tombstone
from facegrid.domain.labels import Labels
from facegrid.domain.migrations import LeftBehind, LeftBehindReason
from facegrid.identity.amending import Amending
from facegrid.identity.extract import Extract, ExtractedFace, Extraction
from facegrid.identity.galleries import Galleries
from facegrid.identity.migration_ports import TwinRecords
from facegrid.identity.ports import Records
from facegrid.identity.projection import Projection

Faces = tuple[ExtractedFace, ...] | LeftBehindReason
_NOTHING: Mapping[str, Faces] = {}


class Twins:
    """Applies to one gallery of a migration what the other has; who changes a subject holds its lock.

    `late` are subjects, by the name of their gallery, whose change has reached one gallery only.
    """

    def __init__(
        self,
        galleries: Galleries,
        extract: Extract,
        records: Records,
        twin_records: TwinRecords,
        projection: Projection,
    ) -> None:
        """Take the galleries, the extraction, the records and the projection."""
        self._galleries, self._extract, self._records = galleries, extract, records
        self._twin_records, self._projection = twin_records, projection
        self._amending = Amending(records, projection)
        self.late: set[tuple[str, str]] = set()

    async def ready(self, gallery: Gallery, deadline: float | None) -> None:
        """Wait until a change can be made to the gallery and its twin. Raises IndexLoading."""
        for one in filter(None, (gallery, gallery.twin)):
            await self._projection.ready(one, deadline)

    async def other(self, gallery: Gallery) -> Gallery | None:
        """Return the gallery that a change of this one has to reach as well, as things are now.

        Raises GalleryMoved where this one is not in use any more.
        """
        current = await self._galleries.get(gallery.name)
        if gallery.gallery_id == current.gallery_id:
            return current.twin
        if current.twin and gallery.gallery_id == current.twin.gallery_id:
            return current
        if gallery.key == current.key:
            raise GalleryMoved(f"gallery {gallery.name} has just moved to another pack; retry")
        return None  # deleted, as its index will tell

    async def encounter_ids(self, gallery: Gallery, subject_id: str) -> tuple[str, ...]:
        """Return the ids of a subject's encounters, those that a migration left behind included."""
        pair = filter(None, (gallery, await self.other(gallery)))
        found = [await self._records.subject(one, subject_id) for one in pair]
        encounters = [one for subject in found if subject for one in subject.encounters]
        return tuple(dict.fromkeys(one.encounter_id for one in encounters))

    async def prepare(self, gallery: Gallery, extractions: Sequence[Extraction]) -> Faces | None:
        """Extract with the twin's pack what is about to be enrolled; None where there is no twin."""
        if gallery.twin is None:
            return None
        sources = [(one.photograph, one.faces[0].face) for one in extractions]
        return await self._faces(gallery.twin, sources)

    async def follow(
        self, gallery: Gallery, subject_id: str, encounter_id: str = "", prepared: Faces | None = None
    ) -> None:
        """Bring the other gallery in line with a subject that was changed; `prepared` is one encounter's."""
        async with self.following(gallery, subject_id) as other:
            if other:
                ready = _NOTHING if prepared is None else {encounter_id: prepared}
                await self._align(gallery, other, subject_id, ready)

    async def bury(self, gallery: Gallery, subject_id: str, tombstone: Tombstone, call: Call) -> None:
        """Repeat a deletion in the other gallery."""
        async with self.following(gallery, subject_id) as other:
            if other:
                await self._bury(other, subject_id, tombstone, call)
                await self._forget(gallery, other, tombstone.encounter_ids)

    @asynccontextmanager
    async def following(self, gallery: Gallery, subject_id: str) -> AsyncIterator[Gallery | None]:
        """Yield the other gallery, to change a subject there too.

        What fails is late, unless that gallery was dropped.
        """
        other, change = await self.other(gallery), (gallery.name, subject_id)
        try:
            self.late.add(change)
            if other:
                await self._projection.ready(other)
                await self._projection.settle(other, subject_id)
            yield other
        except (FacegridError, ConfigurationError):
            if other is None or not self._projection.is_dropped(other):
                raise
            await self._galleries.erase_remains(other)
        self.late.discard(change)

    async def _align(
        self, one: Gallery, other: Gallery, subject_id: str, prepared: Mapping[str, Faces]
    ) -> None:
        ours = await self._records.subject(one, subject_id)
        theirs = await self._records.subject(other, subject_id)
        subjects = [subject for subject in (ours, theirs) if subject]
        single = sorted(_ids(ours) ^ _ids(theirs))
        gone = {old for subject in subjects for each in subject.encounters for old in each.replaces}
        gone |= await self._twin_records.gone(one, single) | await self._twin_records.gone(other, single)
        for source, target, found, held in (
            (one, other, ours, _ids(theirs)),
            (other, one, theirs, _ids(ours)),
        ):
            stale, encounters = tuple(sorted(held & gone)), found.encounters if found else ()
            for encounter in [each for each in encounters if each.encounter_id not in held | gone]:
                moved, since = replace(encounter, replaces=stale), min(each.created for each in subjects)
                if await self._copy(source, target, moved, since, prepared.get(moved.encounter_id)):
                    stale = ()
            if stale:
                tombstone = Tombstone(stale, self._projection.revision(source))
                await self._bury(target, subject_id, tombstone, Call("Align", uuid4().hex))
        if gone:
            await self._forget(one, other, sorted(gone))
        if ours and theirs:
            sides = ((one, ours), (other, theirs))
            in_use = (await self._galleries.get(one.name)).gallery_id
            (_, right), (target, found) = sides if in_use == one.gallery_id else sides[::-1]
            await self._relabel(target, right, found, gone)

    async def _relabel(self, target: Gallery, right: Subject, found: Subject, gone: set[str]) -> None:
        """Give a subject the labels that it has in the gallery in use, which a change reaches first."""
        left = [one for one in found.encounters if one.encounter_id not in gone]
        changes = (
            {"": Labels(subject_status=right.status)} if left and found.status is not right.status else {}
        )
        labels_of = {one.encounter_id: one.labels for one in left}
        for one in right.encounters:
            held = labels_of.get(one.encounter_id, one.labels)
            if replace(held, subject_status=one.labels.subject_status) != one.labels:
                changes[one.encounter_id] = one.labels
        for encounter_id, labels in changes.items():
            call = Call("Align", uuid4().hex)
            await self._amending.write(call, target, found.subject_id, encounter_id, labels)

    async def _copy(
        self, source: Gallery, target: Gallery, encounter: Encounter, since: datetime, faces: Faces | None
    ) -> bool:
        """Bring an encounter into the target, or note that it is left behind; say which."""
        if faces is None or not _are_of(faces, target):
            faces = await self._stored_faces(source, target, encounter)
        if isinstance(faces, LeftBehindReason):
            left = LeftBehind(encounter.subject_id, encounter.encounter_id, faces)
            await self._twin_records.leave_behind(target, left)
            return False
        samples = tuple(
            replace(sample, face=face.face, template=face.template)
            for sample, face in zip(encounter.samples, faces, strict=True)
        )
        moved = replace(encounter, samples=samples)
        with self._projection.revise(target):
            await self._twin_records.adopt(source, target, moved, since)
            await self._projection.add(target, moved)
        await self._records.erase(target, moved.subject_id, moved.replaces)
        await self._twin_records.settle(target, [moved.encounter_id])
        return True

    async def _stored_faces(self, source: Gallery, target: Gallery, encounter: Encounter) -> Faces:
        if not all(sample.photograph_kept for sample in encounter.samples):
            return LeftBehindReason.PHOTOGRAPH_NOT_KEPT
        try:
            photographs = [
                await self._twin_records.photograph(source, encounter, number)
                for number in range(len(encounter.samples))
            ]
        except ConfigurationError:
            return LeftBehindReason.PHOTOGRAPH_UNREADABLE
        faces = [sample.face for sample in encounter.samples]
        return await self._faces(target, list(zip(photographs, faces, strict=True)))

    async def _faces(
        self, target: Gallery, sources: Sequence[tuple[bytes | None, DetectedFace | None]]
    ) -> Faces:
        pack = self._galleries.pack_of(target)
        found = []
        for photograph, face in sources:
            if photograph is None or face is None:
                return LeftBehindReason.PHOTOGRAPH_NOT_KEPT
            try:
                again = await self._extract.face_at(photograph, pack, face.box)
            except (InvalidPhotograph, PhotographTooLarge):
                return LeftBehindReason.PHOTOGRAPH_UNREADABLE
            if again is None:
                return LeftBehindReason.FACE_NOT_FOUND
            found.append(again)
        return tuple(found)

    async def _bury(self, target: Gallery, subject_id: str, tombstone: Tombstone, call: Call) -> None:
        with self._projection.revise(target):
            await self._records.bury(target, tombstone, call)
            await self._projection.remove(target, tombstone.encounter_ids, tombstone.revision)
        await self._records.erase(target, subject_id, tombstone.encounter_ids)

    async def _forget(self, one: Gallery, other: Gallery, encounter_ids: Sequence[str]) -> None:
        for source, target in ((one, other), (other, one)):
            await self._twin_records.remember(source, target, encounter_ids)
            await self._twin_records.settle(target, encounter_ids)


def _ids(subject: Subject | None) -> set[str]:
    return {one.encounter_id for one in subject.encounters} if subject else set()


def _are_of(faces: Faces, gallery: Gallery) -> bool:
    """Say whether faces were extracted for a gallery, and not for one of an earlier migration."""
    if isinstance(faces, LeftBehindReason):
        return True
    return all(face.template.version == gallery.template_version for face in faces)
