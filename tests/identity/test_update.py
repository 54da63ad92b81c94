"""Updates: labels and statuses change at once, for good, and once for each request."""

import asyncio

import pytest

from facegrid.domain.errors import EncounterNotFound, InvalidField, RequestIdReused, SubjectNotFound
from facegrid.domain.faces import FaceSelection
from facegrid.domain.filters import Equals
from facegrid.domain.galleries import Encounter
from facegrid.domain.labels import Labels, Status
from facegrid.domain.templates import SentTemplate
from facegrid.identity.enroll import EnrollMode
from facegrid.identity.projection import Projection
from facegrid.storage.indexes.resident import ResidentIndex
from fakes import fake_template
from house import House, call

LABELS = Labels({"country": "DE"}, ("north",))


async def relabel(house: House, encounter: Encounter, labels: Labels, *fields: str, request: str = "") -> int:
    """Update an encounter of Ann's."""
    _, _, revision = await house.update.encounter(
        call("UpdateEncounter", request, repr((labels, fields))),
        "g",
        "ann",
        encounter.encounter_id,
        labels=labels,
        fields=fields,
    )
    return revision


async def set_status(house: House, status: Status, request: str = "") -> None:
    """Update Ann."""
    await house.update.subject(call("UpdateSubject", request, status.value), "g", "ann", status)


async def verify(house: House) -> float:
    """Return the score of Ann's photograph against her."""
    template = fake_template(b"ann")
    verified = await house.verify(
        call("Verify"),
        "g",
        subject_id="ann",
        probe=SentTemplate(template.version, template.to_bytes(), 0),
        selection=FaceSelection.EXACTLY_ONE,
        min_revision="",
    )
    return verified.best.score


async def test_labels_change_at_once_and_only_those_that_are_named(house: House) -> None:
    """A search with the new labels finds the encounter, one with the old ones does not."""
    encounter = await house.add("ann", b"ann", labels=LABELS)
    revision = await relabel(house, encounter, Labels({"country": "FR"}), "metadata")
    assert await house.found(b"ann", Equals("country", "FR")) == ["ann"]
    assert await house.found(b"ann", Equals("country", "DE")) == []
    (changed,) = (await house.subjects.get("g", "ann")).encounters
    assert changed.labels == Labels({"country": "FR"}, ("north",))
    gallery = await house.galleries.get("g")
    assert house.projection.revision(gallery) == revision > encounter.revision


async def test_an_inactive_encounter_is_kept_and_not_found(house: House) -> None:
    """Neither searches nor verifications count it, until it is active again."""
    encounter = await house.add("ann", b"ann")
    other = await house.add("ann", b"ann#far")
    await relabel(house, encounter, Labels(status=Status.INACTIVE), "status")
    found = (await house.search(b"ann", below=True)).results[0].candidates
    assert {hit.encounter_id for hit in found} == {other.encounter_id}
    assert await verify(house) < 1
    assert len((await house.subjects.get("g", "ann")).encounters) == 2
    await relabel(house, encounter, Labels(), "status")
    assert await verify(house) == 1
    assert await house.found(b"ann") == ["ann"]


async def test_an_inactive_subject_is_not_found_whatever_is_added(house: House) -> None:
    """Its encounters keep their own status; one that replaces them is not searched either."""
    encounter = await house.add("ann", b"ann")
    gallery = await house.galleries.get("g")
    await set_status(house, Status.INACTIVE)
    await house.add("ann", b"ann#2")
    await house.add("ann", b"ann#3", mode=EnrollMode.REPLACE)
    assert await house.found(b"ann") == []
    assert house.projection.subject_count(gallery) == 0
    with pytest.raises(SubjectNotFound, match="inactive"):
        await verify(house)
    subject = await house.subjects.get("g", "ann")
    assert subject.status is Status.INACTIVE
    assert [one.labels.status for one in subject.encounters] == [Status.ACTIVE]
    await set_status(house, Status.ACTIVE)
    assert await house.found(b"ann") == ["ann"]
    assert encounter.encounter_id not in [
        one.encounter_id for one in (await house.subjects.get("g", "ann")).encounters
    ]


async def test_both_the_subject_and_the_encounter_must_be_active(house: House) -> None:
    """Activating one of them is not enough."""
    encounter = await house.add("ann", b"ann", labels=Labels(status=Status.INACTIVE))
    assert await house.found(b"ann") == []
    await set_status(house, Status.INACTIVE)
    await relabel(house, encounter, Labels(), "status")
    assert await house.found(b"ann") == []
    await set_status(house, Status.ACTIVE)
    assert await house.found(b"ann") == ["ann"]


async def test_a_retry_changes_nothing_more(house: House) -> None:
    """A later change stands; the retry has the first answer's revision, and another payload is refused."""
    encounter = await house.add("ann", b"ann")
    first = await relabel(house, encounter, LABELS, "metadata", request="once")
    await relabel(house, encounter, Labels({"country": "FR"}), "metadata")
    assert await relabel(house, encounter, LABELS, "metadata", request="once") == first
    assert await house.found(b"ann", Equals("country", "FR")) == ["ann"]
    with pytest.raises(RequestIdReused):
        await relabel(house, encounter, Labels({"country": "IT"}), "metadata", request="once")


async def test_changes_are_there_after_a_restart(house: House) -> None:
    """An index that is filled anew from the records has them."""
    await relabel(house, await house.add("ann", b"ann"), LABELS, "metadata", "sub_galleries")
    await house.add("bob", b"ann")
    await house.update.subject(call("UpdateSubject"), "g", "bob", Status.INACTIVE)
    gallery = await house.galleries.get("g")
    house.projection._states.clear()
    house.projection._index = index = ResidentIndex(1)
    assert await house.found(b"ann", Equals("country", "DE")) == ["ann"]
    assert await house.found(b"ann") == ["ann"]
    assert house.projection.subject_count(gallery) == 1
    index.close()


async def test_an_index_that_missed_a_change_is_mended_when_it_is_filled(house: House) -> None:
    """The server died after the record and before the index, which kept its rows."""
    encounter = await house.add("ann", b"ann")
    gallery = await house.galleries.get("g")
    await relabel(house, encounter, LABELS, "metadata")
    await house.index.add(gallery.gallery_id, await _rows_without_labels(house))
    assert await house.found(b"ann", Equals("country", "DE")) == []
    projection = Projection(house.records, house.index)
    await projection.ready(gallery)
    house.identify._projection = projection
    assert await house.found(b"ann", Equals("country", "DE")) == ["ann"]


async def _rows_without_labels(house: House) -> object:
    gallery = await house.galleries.get("g")
    (rows,) = [rows async for rows, _ in house.records.rows(gallery)]
    return type(rows)(rows.subject_ids, rows.encounter_ids, rows.samples, rows.vectors, [Labels()])


@pytest.mark.parametrize("fields", [[], ["subject_id"], ["metadata", "metadata.country"]])
async def test_masks_that_are_refused(house: House, fields: list[str]) -> None:
    """A mask names what can change, and something."""
    encounter = await house.add("ann", b"ann")
    with pytest.raises(InvalidField) as caught:
        await relabel(house, encounter, LABELS, *fields)
    assert caught.value.field == "update_mask"


async def test_what_is_not_there_cannot_be_changed(house: House) -> None:
    """An unknown subject or encounter is not found, nor one that was deleted after its change."""
    encounter = await house.add("ann", b"ann")
    await relabel(house, encounter, LABELS, "metadata", request="once")
    with pytest.raises(EncounterNotFound):
        await house.update.encounter(
            call("UpdateEncounter"), "g", "ann", "e" * 32, labels=LABELS, fields=["metadata"]
        )
    await house.subjects.delete(call("DeleteSubject"), "g", "ann")
    with pytest.raises(SubjectNotFound):
        await set_status(house, Status.INACTIVE)
    with pytest.raises(SubjectNotFound):
        await relabel(house, encounter, LABELS, "metadata", request="once")
    assert await house.found(b"ann") == []


async def test_changes_at_once_end_in_one_state(house: House) -> None:
    """Whatever change of an encounter comes last, searches and records see the same one."""
    encounter = await house.add("ann", b"ann")
    await asyncio.gather(
        *[relabel(house, encounter, Labels({"number": number}), "metadata") for number in range(8)]
    )
    (held,) = (await house.subjects.get("g", "ann")).encounters
    for number in range(8):
        found = await house.found(b"ann", Equals("number", number))
        assert found == (["ann"] if held.labels.metadata["number"] == number else [])
