"""Galleries, subjects, verification: what is stored, listed, compared and removed."""

import asyncio
from pathlib import Path

import pytest

from facegrid.domain.errors import (
    EncounterNotFound,
    GalleryExists,
    GalleryNotFound,
    IndexLoading,
    InvalidField,
    PackNotFound,
    RequestIdReused,
    SubjectNotFound,
)
from facegrid.domain.faces import FaceSelection
from facegrid.domain.packs import Threshold, ThresholdSource
from facegrid.identity.verify import Verification
from fakes import FakeVision, fake_template
from house import House, build_house, call


async def _create(house: House, name: str, request_id: str = "", **settings: object) -> None:
    options: dict[str, object] = {
        "pack_name": "",
        "verify_threshold": None,
        "identify_threshold": None,
        "keep_photographs": True,
    }
    payload = repr((name, settings))
    await house.galleries.create(call("CreateGallery", request_id, payload), name, **(options | settings))


async def _verify(house: House, subject: str, photograph: bytes) -> Verification:
    return await house.verify(
        call("Verify"),
        "g",
        subject_id=subject,
        probe=photograph,
        selection=FaceSelection.EXACTLY_ONE,
        min_revision="",
    )


async def test_a_gallery_is_made_once(house: House) -> None:
    """A second gallery of the name is refused; a retry of the first call is not."""
    await _create(house, "h", "q")
    await _create(house, "h", "q")
    with pytest.raises(GalleryExists):
        await _create(house, "h")
    with pytest.raises(RequestIdReused):
        await _create(house, "other", "q")


async def test_an_operators_thresholds_take_the_place_of_the_packs(house: House) -> None:
    """A gallery says of each threshold where it comes from."""
    await _create(house, "h", identify_threshold=0.75)
    thresholds = (await house.galleries.get("h")).thresholds
    assert thresholds.identify == Threshold(0.75, ThresholdSource.OPERATOR)
    assert thresholds.verify.source is ThresholdSource.PACK_DEFAULT


@pytest.mark.parametrize(
    ("settings", "error"),
    [({"pack_name": "none"}, PackNotFound), ({"verify_threshold": 1.5}, InvalidField)],
)
async def test_a_gallery_of_bad_settings_is_not_made(
    house: House, settings: dict[str, object], error: type[Exception]
) -> None:
    """An unknown pack or an impossible threshold leaves no gallery behind."""
    with pytest.raises(error):
        await _create(house, "h", **settings)
    with pytest.raises(GalleryNotFound):
        await house.galleries.get("h")


async def test_galleries_are_listed_in_pages_by_name(house: House) -> None:
    """Pages hold each gallery once, in the order of the names."""
    for name in ("b", "a", "c", "Z"):
        await _create(house, name)
    names, token = [], ""
    while True:
        page, token = await house.galleries.list(2, token)
        names += [gallery.name for gallery in page]
        if not token:
            break
    assert names == ["Z", "a", "b", "c", "g"]


async def test_a_gallery_made_again_inherits_nothing(house: House) -> None:
    """After a deletion the name is free, and the new gallery is empty."""
    await house.add("ann", b"ann")
    await house.galleries.delete(call("DeleteGallery", "q"), "g")
    await house.galleries.delete(call("DeleteGallery", "q"), "g")
    await house.make_gallery()
    assert await house.found(b"ann") == []
    with pytest.raises(SubjectNotFound):
        await house.subjects.get("g", "ann")


async def test_a_deleted_gallery_leaves_no_object(house: House, tmp_path: Path) -> None:
    """No photograph and no template stays on the disk."""
    await house.add("ann", b"ann")
    await house.galleries.delete(call("DeleteGallery"), "g")
    assert not list(tmp_path.rglob("source"))
    assert not list(tmp_path.rglob("templates"))


async def test_enrolments_under_way_leave_nothing_in_a_deleted_gallery(house: House, tmp_path: Path) -> None:
    """Each is answered as done or as NOT_FOUND, and no photograph stays behind either way."""
    enrolments = [house.add(f"s{number}", b"s%d" % number) for number in range(20)]
    outcomes = await asyncio.gather(
        *enrolments, house.galleries.delete(call("DeleteGallery"), "g"), return_exceptions=True
    )
    failed = [one for one in outcomes if isinstance(one, BaseException)]
    assert all(isinstance(one, GalleryNotFound) for one in failed)
    assert not list(tmp_path.rglob("source"))


async def test_a_deletion_broken_off_is_finished_at_start(house: House, tmp_path: Path) -> None:
    """A gallery that lost its name before a crash is gone after the next start."""
    await house.add("ann", b"ann")
    await house.records.unname_gallery("g", call("DeleteGallery"))
    house.close()
    restarted = build_house(tmp_path, FakeVision())
    await restarted.galleries.recover()
    assert not list(tmp_path.rglob("source"))
    restarted.close()


async def test_an_index_that_missed_a_deletion_makes_up_for_it_at_start(house: House, tmp_path: Path) -> None:
    """Templates of a deleted gallery do not stay in an index that was not in use at the time."""
    await house.add("ann", b"ann")
    gallery = await house.galleries.get("g")
    await house.galleries.delete(call("DeleteGallery"), "g")
    later = build_house(tmp_path, FakeVision())
    await later.index.open(gallery.gallery_id, gallery.template_version, gallery.dimension)
    await later.galleries.recover()
    with pytest.raises(IndexLoading):
        await later.index.search(gallery.gallery_id, fake_template(b"ann").vector[None], 1)
    later.close()


async def test_subjects_are_listed_in_pages_each_once(house: House) -> None:
    """The pages together hold every subject once."""
    for number in range(7):
        await house.add(f"s{number}", b"s%d" % number)
    seen, token = [], ""
    while True:
        page, token = await house.subjects.list("g", 3, token)
        seen += [subject.subject_id for subject in page]
        if not token:
            break
    assert sorted(seen) == [f"s{number}" for number in range(7)]


@pytest.mark.parametrize(("size", "token"), [(-1, ""), (1001, ""), (0, "../x")])
async def test_a_bad_page_is_refused(house: House, size: int, token: str) -> None:
    """Page sizes and tokens outside their range are errors of the request."""
    with pytest.raises(InvalidField):
        await house.subjects.list("g", size, token)


async def test_a_deleted_subject_is_gone_everywhere(house: House, tmp_path: Path) -> None:
    """Neither a search nor the records nor the disk has it; a retry of the call answers the same."""
    await house.add("ann", b"ann")
    first = await house.subjects.delete(call("DeleteSubject", "q"), "g", "ann")
    again = await house.subjects.delete(call("DeleteSubject", "q"), "g", "ann")
    assert first == again
    assert await house.found(b"ann") == []
    assert not list(tmp_path.rglob("source"))
    with pytest.raises(SubjectNotFound):
        await house.subjects.delete(call("DeleteSubject"), "g", "ann")


async def test_a_subject_can_be_enrolled_again_after_its_deletion(house: House) -> None:
    """The tombstone covers the encounters that were, not those that come."""
    await house.add("ann", b"ann")
    await house.subjects.delete(call("DeleteSubject"), "g", "ann")
    await house.add("ann", b"ann")
    assert await house.found(b"ann") == ["ann"]


async def test_the_subject_goes_with_its_last_encounter(house: House) -> None:
    """Deleting encounters one by one ends with the subject."""
    first = await house.add("ann", b"ann")
    second = await house.add("ann", b"bob")
    await house.subjects.delete_encounter(call("DeleteEncounter"), "g", "ann", first.encounter_id)
    assert await house.found(b"ann") == []
    assert await house.found(b"bob") == ["ann"]
    with pytest.raises(EncounterNotFound):
        await house.subjects.delete_encounter(call("DeleteEncounter"), "g", "ann", first.encounter_id)
    await house.subjects.delete_encounter(call("DeleteEncounter"), "g", "ann", second.encounter_id)
    with pytest.raises(SubjectNotFound):
        await house.subjects.get("g", "ann")


async def test_a_claim_is_verified_with_the_best_sample(house: House) -> None:
    """Verify scores the subject's best sample and reports one subject searched."""
    await house.add("ann", b"ann#far", b"ann#2")
    verified = await _verify(house, "ann", b"ann#2")
    assert (verified.best.score, verified.best.sample) == (1.0, 1)
    assert verified.report.subjects_searched == 1
    assert (await _verify(house, "ann", b"bob")).best.score < 0.5


async def test_a_claim_to_be_nobody_is_refused(house: House) -> None:
    """Verification against a subject that is not enrolled is NOT_FOUND, not a low score."""
    with pytest.raises(SubjectNotFound):
        await _verify(house, "ann", b"ann")
