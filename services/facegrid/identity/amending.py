"""Amending: changed labels of encounters, and statuses of subjects, are written and then shown."""

from facegrid.domain.calls import Call
from facegrid.domain.errors import SubjectNotFound
from facegrid.domain.galleries import Amendment, Gallery, Subject
from facegrid.domain.labels import Labels
from facegrid.identity.ports import Records
from facegrid.identity.projection import Projection


class Amending:
    """Writes amendments; the caller holds the subject."""

    def __init__(self, records: Records, projection: Projection) -> None:
        """Take the records and the projection."""
        self._records, self._projection = records, projection

    async def write(
        self, call: Call, gallery: Gallery, subject_id: str, encounter_id: str, labels: Labels
    ) -> tuple[Subject, int]:
        """Change an encounter's labels, or a subject's status; return the subject and what shows it first."""
        with self._projection.revise(gallery) as revision:
            amendment = Amendment(encounter_id, labels, revision)
            await self._records.amend(gallery, subject_id, amendment, call)
            return await self.show(call, gallery, subject_id, amendment)

    async def show(
        self, call: Call, gallery: Gallery, subject_id: str, amendment: Amendment
    ) -> tuple[Subject, int]:
        """Bring to the index what was written. Raises SubjectNotFound."""
        subject = await self._records.subject(gallery, subject_id)
        if subject is None:
            raise SubjectNotFound(f"gallery {gallery.name} has no subject {subject_id}", field="subject_id")
        touched = [one for one in subject.encounters if amendment.encounter_id in ("", one.encounter_id)]
        await self._projection.amend(gallery, touched, amendment.revision)
        await self._records.settle(gallery, call)
        return subject, amendment.revision
