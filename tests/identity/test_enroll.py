"""Enrolment: all or none, once per request id, and what each mode does to a subject that is there."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from facegrid.domain.errors import (
    EncounterDeleted,
    FacegridError,
    FaceTooSmall,
    GalleryNotFound,
    InvalidField,
    InvalidPhotograph,
    InvalidTemplate,
    ManyFacesFound,
    NoFaceFound,
    PackChanged,
    PackNotInstalled,
    RequestIdReused,
    SubjectExists,
    TemplateVersionMismatch,
)
from facegrid.domain.faces import FaceSelection
from facegrid.domain.templates import SentTemplate
from facegrid.identity.enroll import EnrollMode
from fakes import DIMENSION, FakeVision, fake_pack, fake_template
from house import House, build_house, call


async def test_an_enrolled_subject_is_found(house: House) -> None:
    """What Enroll has answered, the next search finds."""
    await house.add("ann", b"ann")
    assert await house.found(b"ann#2") == ["ann"]


async def test_a_subject_id_is_made_where_none_is_given(house: House) -> None:
    """An empty subject id makes a new one, which a retry of the call gets again."""
    first = await house.add("", b"ann", request_id="q")
    again = await house.add("", b"ann", request_id="q")
    other = await house.add("", b"bob")
    assert first.subject_id == again.subject_id != other.subject_id


async def test_samples_are_stored_all_or_none(house: House) -> None:
    """One bad sample of three leaves nothing behind, and the error names it."""
    with pytest.raises(NoFaceFound) as caught:
        await house.add("ann", b"ann", b"wall", b"ann#2")
    assert caught.value.field == "samples[1]"
    assert await house.records.subject(await house.galleries.get("g"), "ann") is None


async def test_a_retry_has_one_effect_and_one_answer(house: House) -> None:
    """The same request id and payload enrol once and answer the same encounter."""
    first = await house.add("ann", b"ann", request_id="q")
    again = await house.add("ann", b"ann", request_id="q")
    assert (again.encounter_id, again.revision) == (first.encounter_id, first.revision)
    assert len((await house.subjects.get("g", "ann")).encounters) == 1


async def test_concurrent_retries_have_one_effect(house: House) -> None:
    """Tries of one call that run at the same time make one encounter."""
    encounters = await asyncio.gather(*(house.add("ann", b"ann", request_id="q") for _ in range(8)))
    assert len({encounter.encounter_id for encounter in encounters}) == 1
    assert len((await house.subjects.get("g", "ann")).encounters) == 1


@pytest.mark.parametrize("subject", ["ann", "bob"])
async def test_a_request_id_with_another_payload_is_refused(house: House, subject: str) -> None:
    """A request id used again with another photograph enrols nothing, whoever the subject is."""
    await house.add("ann", b"ann", request_id="q")
    with pytest.raises(RequestIdReused):
        await house.add(subject, b"bob", request_id="q")
    assert await house.found(b"bob") == []


async def test_a_deleted_encounter_is_never_enrolled_again(house: House) -> None:
    """A late retry of an enrolment whose subject was deleted is refused."""
    await house.add("ann", b"ann", request_id="q")
    await house.subjects.delete(call("DeleteSubject"), "g", "ann")
    with pytest.raises(EncounterDeleted):
        await house.add("ann", b"ann", request_id="q")
    assert await house.found(b"ann") == []


async def test_a_replaced_encounter_is_never_enrolled_again(house: House) -> None:
    """A late retry of an enrolment that was replaced is refused."""
    await house.add("ann", b"ann", request_id="q")
    await house.add("ann", b"ann#2", mode=EnrollMode.REPLACE)
    with pytest.raises(EncounterDeleted):
        await house.add("ann", b"ann", request_id="q")


async def test_create_refuses_a_subject_that_exists(house: House) -> None:
    """Mode CREATE is for new subjects only."""
    await house.add("ann", b"ann", mode=EnrollMode.CREATE)
    with pytest.raises(SubjectExists):
        await house.add("ann", b"ann#2", mode=EnrollMode.CREATE)


async def test_concurrent_creations_of_a_subject_make_one(house: House) -> None:
    """Of several callers that create the same subject, one succeeds."""
    tries = [house.add("ann", b"ann#%d" % number, mode=EnrollMode.CREATE) for number in range(6)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(outcome, SubjectExists) for outcome in outcomes) == 5


async def test_a_refused_request_claims_no_request_id(house: House) -> None:
    """The caller may follow the error's advice with the same request id."""
    await house.add("ann", b"ann")
    with pytest.raises(SubjectExists):
        await house.add("ann", b"ann#2", mode=EnrollMode.CREATE, request_id="q")
    await house.add("ann", b"ann#2", mode=EnrollMode.ADD, request_id="q")
    assert len((await house.subjects.get("g", "ann")).encounters) == 2


async def test_add_keeps_what_is_there(house: House) -> None:
    """Mode ADD adds an encounter beside the others."""
    await house.add("ann", b"ann")
    await house.add("ann", b"bob")
    assert await house.found(b"ann") == await house.found(b"bob") == ["ann"]


async def test_replace_takes_the_place_of_all_that_was_there(house: House) -> None:
    """Mode REPLACE leaves the new encounter alone, in the records and in searches."""
    await house.add("ann", b"ann")
    await house.add("ann", b"ann#2")
    new = await house.add("ann", b"bob", mode=EnrollMode.REPLACE)
    (left,) = (await house.subjects.get("g", "ann")).encounters
    assert left.encounter_id == new.encounter_id
    assert await house.found(b"ann") == []
    assert await house.found(b"bob") == ["ann"]


async def test_no_search_sees_a_replacement_half_done(house: House) -> None:
    """While a subject is replaced over and over, each search sees exactly one of its states."""
    await house.add("ann", b"ann#0")
    done = asyncio.Event()

    async def replace() -> None:
        for number in range(1, 30):
            await house.add("ann", b"ann#%d" % number, mode=EnrollMode.REPLACE)
        done.set()

    async def search() -> None:
        gallery = await house.galleries.get("g")
        probe = fake_template(b"ann").vector[None]
        while not done.is_set():
            rows = await house.projection.search(gallery, probe, 5)
            assert [hit.subject_id for hit in rows[0]] == ["ann"]

    await asyncio.gather(replace(), search(), search())


async def test_a_cancelled_caller_does_not_cut_a_write_short(house: House) -> None:
    """An enrolment that has begun to write goes on when its caller goes away."""
    writing = asyncio.Event()
    commit = house.records.commit

    async def signalling_commit(*args: Any) -> None:
        writing.set()
        await commit(*args)

    house.records.commit = signalling_commit  # type: ignore[method-assign]
    task = asyncio.create_task(house.add("ann", b"ann"))
    await writing.wait()
    task.cancel()
    await asyncio.wait([task])
    async with asyncio.timeout(5):
        while await house.found(b"ann") != ["ann"]:
            await asyncio.sleep(0.01)


async def test_photographs_are_kept_only_where_the_gallery_says_so(tmp_path: Path) -> None:
    """A gallery without photographs stores none, one with them stores the bytes as they came."""
    house = build_house(tmp_path, FakeVision())
    await house.make_gallery(keep_photographs=False)
    await house.add("ann", b"ann")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"ann"]
    await house.make_gallery("kept")
    await house.enroll(
        call("Enroll"),
        "kept",
        subject_id="ann",
        mode=EnrollMode.CREATE,
        samples=[b"ann"],
        selection=FaceSelection.EXACTLY_ONE,
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"ann"]
    house.close()


async def test_a_template_is_enrolled_as_a_photograph_is(house: House) -> None:
    """A template that Extract made stands for the photograph."""
    template = fake_template(b"ann")
    await house.enroll(
        call("Enroll"),
        "g",
        subject_id="ann",
        mode=EnrollMode.CREATE,
        samples=[SentTemplate(template.version, template.to_bytes(), template.norm)],
        selection=FaceSelection.EXACTLY_ONE,
    )
    assert await house.found(b"ann#2") == ["ann"]


_UNIT = fake_template(b"ann").to_bytes()
_NAN = b"\x00\x00\xc0\x7f" * DIMENSION


@pytest.mark.parametrize(
    ("sample", "error"),
    [
        (b"", InvalidPhotograph),
        (b"wall", NoFaceFound),
        (b"ann+bob", ManyFacesFound),
        (b"tiny:ann", FaceTooSmall),
        (SentTemplate("fake-1", _UNIT[:-4], 1), InvalidTemplate),
        (SentTemplate("fake-1", _NAN, 1), InvalidTemplate),
        (SentTemplate("fake-1", bytes(4 * DIMENSION), 1), InvalidTemplate),
        (SentTemplate("fake-1", _UNIT, float("nan")), InvalidTemplate),
        (SentTemplate("fake-1", _UNIT, -1), InvalidTemplate),
        (SentTemplate("fake-2", _UNIT, 1), TemplateVersionMismatch),
    ],
)
async def test_a_bad_sample_is_refused_with_its_reason(
    house: House, sample: bytes | SentTemplate, error: type[FacegridError]
) -> None:
    """Each kind of bad sample has its own error, which names the field, and stores nothing."""
    with pytest.raises(error) as caught:
        await house.enroll(
            call("Enroll"),
            "g",
            subject_id="ann",
            mode=EnrollMode.CREATE,
            samples=[sample],
            selection=FaceSelection.EXACTLY_ONE,
        )
    assert caught.value.field == "samples[0]"
    assert (await house.subjects.list("g", 0, ""))[0] == []


@pytest.mark.parametrize("count", [0, 33])
async def test_the_number_of_samples_is_limited(house: House, count: int) -> None:
    """An encounter has 1 to 32 samples."""
    with pytest.raises(InvalidField):
        await house.add("ann", *[b"ann"] * count)


@pytest.mark.parametrize("subject", ["../ann", "a" * 10_000, ".ann", "a b"])
async def test_a_bad_subject_id_is_refused_without_repeating_it_at_length(house: House, subject: str) -> None:
    """Ids become parts of object keys: anything but a plain name is refused, in a short sentence."""
    with pytest.raises(InvalidField) as caught:
        await house.add(subject, b"ann")
    assert caught.value.field == "subject_id"
    assert len(caught.value.message) < 250


async def test_an_unknown_gallery_is_refused(house: House) -> None:
    """Nobody is enrolled in a gallery that is not there."""
    with pytest.raises(GalleryNotFound):
        await house.enroll(
            call("Enroll"),
            "other",
            subject_id="ann",
            mode=EnrollMode.CREATE,
            samples=[b"ann"],
            selection=FaceSelection.EXACTLY_ONE,
        )


async def test_a_gallery_stays_bound_to_its_pack(house: House) -> None:
    """A pack that changed, or is gone, stops enrolments and searches instead of mixing templates."""
    house.vision.packs["fake"] = fake_pack("fake", "fake-2")
    with pytest.raises(PackChanged):
        await house.add("ann", b"ann")
    del house.vision.packs["fake"]
    with pytest.raises(PackNotInstalled):
        await house.search(b"ann")
