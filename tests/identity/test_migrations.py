"""Migrations: what is copied, what is left behind, and that every change reaches both galleries."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from facegrid.domain.errors import (
    StoreUnavailable,
    SubjectNotFound,
    WrongMigrationState,
)
from facegrid.domain.faces import FaceSelection
from facegrid.domain.filters import Equals
from facegrid.domain.galleries import Gallery, MigrationState
from facegrid.domain.labels import Labels, Status
from facegrid.domain.migrations import LeftBehindReason
from facegrid.identity.enroll import EnrollMode
from fakes import TwoPackVision
from house import House, build_house, call
from identity.moving import add_template, cut_over, finish, held, move, pair, roll_back, start


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Yield the use cases with an empty gallery "g" and two packs."""
    built = build_house(tmp_path, TwoPackVision())
    await built.make_gallery()
    yield built
    built.close()


async def cut_over_all(house: House) -> None:
    """Copy, and search the new gallery."""
    await move(house)
    await cut_over(house)


async def test_a_migration_copies_all_that_has_photographs(house: House) -> None:
    """Searches use the old pack until the cut over, and the new one from then on."""
    encounter = await house.add("ann", b"ann", b"ann#2")
    await house.add("bob", b"bob")
    await move(house)
    assert (await house.search(b"ann#3")).report.gallery.pack == "fake"
    assert (await cut_over(house)).state is MigrationState.CUT_OVER
    found = await house.search(b"ann#3")
    assert found.report.gallery.template_version == "new-1"
    assert [hit.subject_id for hit in found.results[0].candidates] == ["ann"]
    copied = (await house.subjects.get("g", "ann")).encounters[0]
    assert (copied.encounter_id, copied.created, copied.request_id, copied.revision) == (
        encounter.encounter_id,
        encounter.created,
        encounter.request_id,
        encounter.revision,
    )
    assert [one.sha256 for one in copied.samples] == [one.sha256 for one in encounter.samples]


async def test_a_face_is_found_again_by_its_box(house: House) -> None:
    """In a crowd the new pack takes the person that was enrolled, not whom it thinks the largest."""
    await house.enroll(
        call("Enroll"),
        "g",
        subject_id="ann",
        mode=EnrollMode.ADD,
        samples=[b"ann+bob+eve"],
        selection=FaceSelection.LARGEST,
    )
    await move(house)
    await cut_over(house)
    assert await house.found(b"ann#2") == ["ann"]
    assert await house.found(b"eve") == await house.found(b"bob") == []


async def test_labels_go_with_an_encounter(house: House) -> None:
    """Metadata, sub-galleries and status are those of the old one; who is inactive is copied, not found."""
    labels = Labels({"age": 40}, ("staff",), Status.INACTIVE)
    await house.enroll(
        call("Enroll"),
        "g",
        subject_id="ann",
        mode=EnrollMode.ADD,
        samples=[b"ann"],
        selection=FaceSelection.EXACTLY_ONE,
        labels=labels,
    )
    await move(house)
    await cut_over(house)
    assert (await house.subjects.get("g", "ann")).encounters[0].labels == labels
    assert await house.found(b"ann") == []


@pytest.mark.parametrize("before", [move, cut_over_all])
async def test_labels_that_differ_become_those_of_the_gallery_in_use(
    house: House, before: Callable[[House], Awaitable[object]]
) -> None:
    """A change that a crash kept from the other gallery reaches it, whichever of the two is in use."""
    encounters = [await house.add("ann", b"ann"), await house.add("ann", b"ann#2")]
    await before(house)
    gallery, twin = await pair(house)
    labels, inactive = Labels({"age": 40}, ("staff",)), Labels(subject_status=Status.INACTIVE)
    amending = house.update._amending
    one = encounters[0].encounter_id
    await amending.write(call("UpdateEncounter"), gallery, "ann", one, labels)
    await amending.write(call("UpdateEncounter"), twin, "ann", one, Labels({"age": 39}))
    await amending.write(call("UpdateSubject"), gallery, "ann", "", inactive)
    for side in (twin, gallery):  # a walk follows both
        await house.twins.follow(side, "ann")
        for each in (gallery, twin):
            subject = await house.records.subject(each, "ann")
            assert subject
            expected = [replace(labels, subject_status=Status.INACTIVE), inactive]
            assert (subject.status, [one.labels for one in subject.encounters]) == (Status.INACTIVE, expected)
            assert house.projection.encounter_count(each) == 0


async def test_an_update_that_reached_one_gallery_is_caught_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its call failed; by the cut over both say the same."""
    encounter = await house.add("ann", b"ann")
    await move(house)
    _, twin = await pair(house)
    amend = house.records.amend

    async def fail(gallery: Gallery, *rest: object) -> None:
        if gallery.gallery_id == twin.gallery_id:
            raise StoreUnavailable("the store is away")
        await amend(gallery, *rest)  # type: ignore[arg-type]

    labels, one = Labels({"age": 40}), encounter.encounter_id
    with monkeypatch.context() as broken:
        broken.setattr(house.records, "amend", fail)
        with pytest.raises(StoreUnavailable):
            await house.update.encounter(
                call("UpdateEncounter"), "g", "ann", one, labels=labels, fields=["metadata"]
            )
    await cut_over(house)
    assert (await house.subjects.get("g", "ann")).encounters[0].labels == labels
    assert await house.found(b"ann", Equals("age", 40)) == ["ann"]


async def test_what_cannot_be_copied_is_listed_and_never_left_behind_in_silence(house: House) -> None:
    """Templates, and photographs in which the new pack finds no face, keep the cut over from happening."""
    house.vision.unseen.add(b"bob")
    await house.add("ann", b"ann")
    await house.add("bob", b"bob")
    await add_template(house, "eve", b"eve")
    await move(house)
    listed, token = await house.migrations.left_behind("g", 10, "", by_roll_back=False)
    assert {one.subject_id: one.reason for one in listed} == {
        "bob": LeftBehindReason.FACE_NOT_FOUND,
        "eve": LeftBehindReason.PHOTOGRAPH_NOT_KEPT,
    }
    assert not token
    first, token = await house.migrations.left_behind("g", 1, "", by_roll_back=False)
    assert [*first, *(await house.migrations.left_behind("g", 1, token, by_roll_back=False))[0]] == listed
    with pytest.raises(WrongMigrationState, match="2 encounters") as caught:
        await cut_over(house)
    assert caught.value.metadata == {"left_behind": "2"}
    await cut_over(house, leave_behind=True)
    assert (await house.found(b"ann"), await house.found(b"bob#2")) == (["ann"], [])
    with pytest.raises(WrongMigrationState, match="2 encounters"):
        await finish(house)
    await finish(house, leave_behind=True)
    assert list(await held(house, await house.galleries.get("g"))) == ["ann"]


async def test_a_photograph_that_the_new_pack_cannot_use_is_enrolled_all_the_same(house: House) -> None:
    """It is listed; an encounter that is deleted, or replaced, is listed no more."""
    await move(house)
    house.vision.unseen |= {b"ann", b"bob"}
    await house.add("ann", b"ann")
    await house.add("bob", b"bob")
    assert await house.found(b"ann#2") == ["ann"]
    assert (await house.migrations.get("g")).progress.left_behind == 2
    await house.subjects.delete(call("DeleteSubject"), "g", "ann")
    await house.add("bob", b"bob#2", mode=EnrollMode.REPLACE)
    assert (await house.migrations.get("g")).progress.left_behind == 0


async def test_photographs_that_are_not_kept_serve_both_packs(tmp_path: Path) -> None:
    """Where a gallery keeps none, what is enrolled during the migration is in both; the rest is listed."""
    house = build_house(tmp_path, TwoPackVision())
    await house.make_gallery(keep_photographs=False)
    await house.add("ann", b"ann")
    await start(house)
    await house.add("bob", b"bob")
    await house.migrate()
    gallery, twin = await pair(house)
    assert (sorted(await held(house, gallery)), list(await held(house, twin))) == (["ann", "bob"], ["bob"])
    assert (await house.migrations.get("g")).progress.left_behind == 1
    house.close()


async def test_every_change_reaches_both(house: House) -> None:
    """What is enrolled, replaced and deleted during a migration is so in the one as in the other."""
    await house.add("ann", b"ann")
    await house.add("bob", b"bob")
    await start(house)
    await house.add("ann", b"ann#2")
    await house.add("bob", b"bob#2", mode=EnrollMode.REPLACE)
    await house.migrate()
    await house.add("eve", b"eve")
    await house.add("dan", b"dan")
    await house.subjects.delete(call("DeleteSubject"), "g", "eve")
    first = (await house.subjects.get("g", "ann")).encounters[0].encounter_id
    await house.subjects.delete_encounter(call("DeleteEncounter"), "g", "ann", first)
    gallery, twin = await pair(house)
    assert await held(house, gallery) == await held(house, twin)
    await cut_over(house)
    assert [await house.found(name) for name in (b"ann", b"bob", b"eve", b"dan")] == [
        ["ann"],
        ["bob"],
        [],
        ["dan"],
    ]
    await house.add("joe", b"joe")
    await house.subjects.delete(call("DeleteSubject"), "g", "dan")
    await roll_back(house)
    assert (await house.found(b"joe"), await house.found(b"dan")) == (["joe"], [])
    assert (await house.search(b"joe")).report.gallery.pack == "fake"


async def test_a_deleted_person_is_gone_from_both(house: House, tmp_path: Path) -> None:
    """Also whom the migration left behind: no photograph stays where nobody sees it any more."""
    house.vision.unseen.add(b"ann")
    await house.add("ann", b"ann")
    await house.add("ann", b"ann#2")
    await move(house)
    await cut_over(house, leave_behind=True)
    assert len(list(tmp_path.rglob("source"))) == 3
    await house.add("ann", b"ann#3", mode=EnrollMode.REPLACE)
    assert len(list(tmp_path.rglob("source"))) == 2
    house.vision.unseen.add(b"bob")
    await roll_back(house)
    await house.add("bob", b"bob")
    await cut_over(house, leave_behind=True)
    for subject in ("ann", "bob"):
        await house.subjects.delete(call("DeleteSubject"), "g", subject)
        with pytest.raises(SubjectNotFound):
            await house.subjects.delete(call("DeleteSubject"), "g", subject)
    assert not list(tmp_path.rglob("source"))
    assert not list(tmp_path.rglob("left-behind"))
