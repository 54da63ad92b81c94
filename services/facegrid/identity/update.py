"""Update: the status of a subject, or the labels of an encounter."""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from functools import partial

from facegrid.domain.calls import Call
from facegrid.domain.errors import EncounterNotFound, InvalidField, SubjectNotFound
from facegrid.domain.galleries import Encounter, Gallery, Subject
from facegrid.domain.labels import Labels, Status, check_labels
from facegrid.domain.names import check_name
from facegrid.identity.amending import Amending
from facegrid.identity.galleries import Galleries
from facegrid.identity.ports import Records
from facegrid.identity.projection import Projection
from facegrid.identity.subjects import find_encounter, find_subject
from facegrid.identity.twins import Twins
from facegrid.identity.writes import Writes

_CHANGEABLE = frozenset({"metadata", "sub_galleries", "status"})
_Changed = tuple[Gallery, Subject, int]


class Update:
    """Changes what stands beside the faces: durable and searched when a call returns."""

    def __init__(
        self,
        galleries: Galleries,
        records: Records,
        projection: Projection,
        writes: Writes,
        twins: Twins,
    ) -> None:
        """Take the galleries, the records, the projection, and the writes and twins of enrolment."""
        self._galleries, self._records = galleries, records
        self._projection, self._writes, self._twins = projection, writes, twins
        self._amending = Amending(records, projection)

    async def subject(self, call: Call, gallery_name: str, subject_id: str, status: Status) -> _Changed:
        """Change a subject's status; returns its gallery, itself, and the first revision that shows it.

        Raises GalleryNotFound, SubjectNotFound and RequestIdReused.
        """

        def change(_: Subject) -> Labels:
            return Labels(subject_status=status)

        gallery = await self._galleries.get(gallery_name)
        work = partial(self._change, call, gallery, subject_id, "", change)
        return await self._writes.finish(work, call.deadline)

    async def encounter(
        self,
        call: Call,
        gallery_name: str,
        subject_id: str,
        encounter_id: str,
        *,
        labels: Labels,
        fields: Collection[str],
    ) -> tuple[Gallery, Encounter, int]:
        """Change the fields of an encounter's labels that are named, of metadata, sub_galleries and status.

        Raises InvalidField, GalleryNotFound, SubjectNotFound, EncounterNotFound and RequestIdReused.
        """
        check_name(encounter_id, "encounter_id")
        check_labels(labels)
        _check_fields(fields)

        def change(subject: Subject) -> Labels:
            return _merged(find_encounter(subject, encounter_id).labels, labels, fields)

        gallery = await self._galleries.get(gallery_name)
        work = partial(self._change, call, gallery, subject_id, encounter_id, change)
        _, subject, revision = await self._writes.finish(work, call.deadline)
        return gallery, find_encounter(subject, encounter_id), revision

    async def _change(
        self,
        call: Call,
        gallery: Gallery,
        subject_id: str,
        encounter_id: str,
        change: Callable[[Subject], Labels],
    ) -> _Changed:
        check_name(subject_id, "subject_id")
        await self._twins.ready(gallery, call.deadline)
        async with self._writes.hold(gallery, subject_id):
            changed = await self._amend(call, gallery, subject_id, encounter_id, change)
            async with self._twins.following(gallery, subject_id) as other:
                if other:
                    with suppress(SubjectNotFound, EncounterNotFound):  # left behind
                        await self._amend(call, other, subject_id, encounter_id, change)
            return changed

    async def _amend(
        self,
        call: Call,
        gallery: Gallery,
        subject_id: str,
        encounter_id: str,
        change: Callable[[Subject], Labels],
    ) -> _Changed:
        await self._projection.settle(gallery, subject_id)
        amendment = await self._records.amendment(gallery, call)
        if amendment:
            return gallery, *await self._amending.show(call, gallery, subject_id, amendment)
        labels = change(await find_subject(self._records, gallery, subject_id))
        return gallery, *await self._amending.write(call, gallery, subject_id, encounter_id, labels)


def _check_fields(fields: Collection[str]) -> None:
    if not fields or not _CHANGEABLE.issuperset(fields):
        raise InvalidField(
            f"update_mask names {', '.join(fields)[:80]!r}; it names what changes, of "
            f"{', '.join(sorted(_CHANGEABLE))}",
            field="update_mask",
        )


def _merged(held: Labels, new: Labels, fields: Collection[str]) -> Labels:
    return replace(
        held,
        metadata=new.metadata if "metadata" in fields else held.metadata,
        sub_galleries=new.sub_galleries if "sub_galleries" in fields else held.sub_galleries,
        status=new.status if "status" in fields else held.status,
    )
