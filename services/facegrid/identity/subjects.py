"""Subjects: described, listed, deleted."""

from functools import partial

from facegrid.domain.calls import Call
from facegrid.domain.errors import EncounterNotFound, SubjectNotFound
from facegrid.domain.galleries import Gallery, Subject, Tombstone
from facegrid.domain.names import check_name
from facegrid.identity.galleries import Galleries, page_limit
from facegrid.identity.ports import Records
from facegrid.identity.projection import Projection
from facegrid.identity.writes import Writes


class Subjects:
    """The subjects of a gallery."""

    def __init__(
        self,
        galleries: Galleries,
        records: Records,
        projection: Projection,
        writes: Writes,
    ) -> None:
        """Take the galleries, the records, the projection, and the writes, which enrolment shares."""
        self._galleries, self._records = galleries, records
        self._projection, self._writes = projection, writes

    async def get(self, gallery_name: str, subject_id: str) -> Subject:
        """Return a subject with its encounters. Raises GalleryNotFound and SubjectNotFound."""
        gallery = await self._galleries.get(gallery_name)
        return await find_subject(self._records, gallery, subject_id)

    async def list(self, gallery_name: str, page_size: int, page_token: str) -> tuple[list[Subject], str]:
        """Return a page of subjects without encounters, and the token of the next one."""
        limit = page_limit(page_size)
        if page_token:
            check_name(page_token, "page_token")
        gallery = await self._galleries.get(gallery_name)
        return await self._records.subjects(gallery, page_token, limit)

    async def delete(self, call: Call, gallery_name: str, subject_id: str) -> tuple[Gallery, int]:
        """Remove a subject; returns the gallery and the first revision that does not show it.

        Raises GalleryNotFound, SubjectNotFound and RequestIdReused.
        """
        gallery = await self._galleries.get(gallery_name)
        delete = partial(self._delete, call, gallery, subject_id, "")
        return gallery, await self._writes.finish(delete, call.deadline)

    async def delete_encounter(
        self, call: Call, gallery_name: str, subject_id: str, encounter_id: str
    ) -> tuple[Gallery, int]:
        """Remove an encounter and, with the last one, its subject. Raises EncounterNotFound as well."""
        gallery = await self._galleries.get(gallery_name)
        check_name(encounter_id, "encounter_id")
        delete = partial(self._delete, call, gallery, subject_id, encounter_id)
        return gallery, await self._writes.finish(delete, call.deadline)

    async def _delete(self, call: Call, gallery: Gallery, subject_id: str, encounter_id: str) -> int:
        check_name(subject_id, "subject_id")
        await self._projection.ready(gallery, call.deadline)
        async with self._writes.hold(gallery, subject_id):
            await self._projection.settle(gallery, subject_id)
            tombstone = await self._records.tombstone(gallery, call)
            if tombstone is None:
                doomed = await self._doomed(gallery, subject_id, encounter_id)
                tombstone = Tombstone(doomed, self._projection.next_revision(gallery))
                await self._records.bury(gallery, tombstone, call)
            ids = tombstone.encounter_ids
            await self._projection.remove(gallery, ids, tombstone.revision)
            await self._records.erase(gallery, subject_id, ids)
            return tombstone.revision

    async def _doomed(self, gallery: Gallery, subject_id: str, encounter_id: str) -> tuple[str, ...]:
        subject = await find_subject(self._records, gallery, subject_id)
        ids = tuple(encounter.encounter_id for encounter in subject.encounters)
        if not encounter_id:
            return ids
        if encounter_id not in ids:
            raise EncounterNotFound(
                f"subject {subject_id} has no encounter {encounter_id}; GetSubject lists those that it has",
                field="encounter_id",
            )
        return (encounter_id,)


async def find_subject(records: Records, gallery: Gallery, subject_id: str) -> Subject:
    """Return a subject of a gallery. Raises InvalidField and SubjectNotFound."""
    subject = await records.subject(gallery, check_name(subject_id, "subject_id"))
    if subject is None:
        raise SubjectNotFound(
            f"gallery {gallery.name} has no subject {subject_id}; enrol it first, or check the id",
            field="subject_id",
        )
    return subject
