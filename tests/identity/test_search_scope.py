"""Where a search looks: filters, lists of subjects, subjects as probes, several galleries."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facegrid.domain.errors import GalleryNotFound, InvalidField, SubjectNotFound, TemplateVersionMismatch
from facegrid.domain.faces import FaceSelection
from facegrid.domain.filters import AllOf, Between, Equals, InSubGallery, NoneOf
from facegrid.domain.labels import Labels, Status
from facegrid.domain.templates import SentTemplate
from facegrid.identity.identify import Identification
from facegrid.identity.searching import Scope
from fakes import FakeVision, fake_template
from house import House, build_house, call

TWIN = b"twin"  # everybody looks alike, so that only the scope tells who is found


@pytest.fixture
async def galleries(house: House) -> House:
    """Enrol three people in "g" and two in "h", of whom one has an id of "g"."""
    await house.make_gallery("h")
    await house.add("ann", TWIN, labels=Labels({"country": "DE", "born": 1980}, ("north",)))
    await house.add("bob", TWIN, labels=Labels({"country": "DE", "born": 1990}))
    await house.add("eve", TWIN, labels=Labels({"country": "FR"}, ("north", "south")))
    await house.add("ann", TWIN, gallery="h")
    await house.add("zoe", b"zoe", gallery="h")
    return house


def names(found: Identification) -> list[tuple[str, str]]:
    """Return the gallery and the subject of each candidate."""
    return [(hit.gallery, hit.subject_id) for hit in found.results[0].candidates]


async def test_a_filter_decides_who_can_be_found(galleries: House) -> None:
    """Labels, sub-galleries and their negations restrict a search."""
    assert await galleries.found(TWIN, Equals("country", "DE")) == ["ann", "bob"]
    assert await galleries.found(TWIN, InSubGallery(("north",))) == ["ann", "eve"]
    old = AllOf((Equals("country", "DE"), NoneOf((Between("born", minimum=1985),))))
    assert await galleries.found(TWIN, old) == ["ann"]
    assert await galleries.found(TWIN, Equals("country", "IT")) == []


async def test_a_list_of_subjects_is_searched_alone(galleries: House) -> None:
    """With a filter both count; ids of any gallery of the request will do."""
    scope = Scope(subject_ids=["bob", "eve", "bob"])
    assert names(await galleries.search(TWIN, scope=scope)) == [("g", "bob"), ("g", "eve")]
    both = replace(scope, filter=Equals("country", "FR"))
    assert names(await galleries.search(TWIN, scope=both)) == [("g", "eve")]
    wide = Scope(["h"], ["ann", "zoe"])
    assert names(await galleries.search(TWIN, scope=wide)) == [("g", "ann"), ("h", "ann")]


async def test_an_unknown_subject_fails_the_search(galleries: House) -> None:
    """The error names it; an inactive one is known, and not found."""
    with pytest.raises(SubjectNotFound) as caught:
        await galleries.search(TWIN, scope=Scope(subject_ids=["bob", "zoe"]))
    assert (caught.value.field, "zoe" in caught.value.message) == ("subject_ids[1]", True)
    await galleries.update.subject(call("UpdateSubject"), "g", "bob", Status.INACTIVE)
    found = await galleries.search(TWIN, scope=Scope(subject_ids=["bob", "eve"]))
    assert names(found) == [("g", "eve")]


async def test_several_galleries_give_one_list(galleries: House) -> None:
    """Each candidate names its gallery; the same id in two galleries is two subjects."""
    found = await galleries.search(TWIN, top=3, scope=Scope(["h"]))
    assert names(found) == [("g", "ann"), ("h", "ann"), ("g", "bob")]
    assert [one.gallery.name for one in (found.report, *found.other_reports)] == ["g", "h"]
    assert [one.subjects_searched for one in (found.report, *found.other_reports)] == [3, 2]


async def test_each_candidate_is_held_against_its_own_gallerys_threshold(house: House) -> None:
    """What is below the threshold of one gallery may reach that of another."""
    for name, threshold in (("strict", 0.9999), ("lax", 0.1)):
        await house.galleries.create(
            call("CreateGallery"),
            name,
            pack_name="",
            verify_threshold=None,
            identify_threshold=threshold,
            keep_photographs=False,
        )
        await house.add(name, b"ann", gallery=name)
    for other, expected in (("strict", []), ("lax", [("lax", "lax")])):
        found = await house.search(b"ann#2", scope=Scope([other]))
        assert (names(found), found.results[0].matched) == (expected, bool(expected))
    found = await house.search(b"ann#2", below=True, scope=Scope(["lax", "strict"]))
    assert names(found) == [("lax", "lax"), ("strict", "strict")]


@pytest.mark.parametrize(
    ("scope", "error", "field"),
    [
        (Scope(["h", "nobody"]), GalleryNotFound, "other_galleries[1]"),
        (Scope(["../x"]), InvalidField, "other_galleries[0]"),
        (Scope(["g"]), InvalidField, "other_galleries"),
        (Scope(["h", "h"]), InvalidField, "other_galleries"),
        (Scope([f"h{number}" for number in range(32)]), InvalidField, "other_galleries"),
        (Scope(subject_ids=["ann"] * 10_001), InvalidField, "subject_ids"),
        (Scope(subject_ids=["ann", "no name"]), InvalidField, "subject_ids[1]"),
    ],
)
async def test_scopes_that_are_refused(
    galleries: House, scope: Scope, error: type[Exception], field: str
) -> None:
    """The error names the entry."""
    with pytest.raises(error) as caught:
        await galleries.search(TWIN, scope=scope)
    assert caught.value.field == field  # type: ignore[attr-defined]


async def test_galleries_of_two_template_versions_do_not_compare(tmp_path: Path) -> None:
    """The refusal names the gallery that differs."""
    vision = FakeVision()
    house = build_house(tmp_path, vision)
    await house.make_gallery()
    held = vision.pack("fake")
    vision.packs["fake"] = replace(held, template_version="fake-2")
    await house.make_gallery("h")
    vision.packs["fake"] = held
    with pytest.raises(TemplateVersionMismatch, match="gallery h"):
        await house.search(TWIN, scope=Scope(["h"]))
    house.close()


async def test_a_subject_is_searched_for_and_left_out(galleries: House) -> None:
    """Its own samples are no candidates; one of its id in another gallery is."""
    await galleries.add("ann", b"twin#2")
    found = await galleries.search(probe_subject_id="ann", scope=Scope(["h"]))
    assert names(found) == [("h", "ann"), ("g", "bob"), ("g", "eve")]
    assert found.results[0].face.face is None
    scope = Scope(filter=Equals("country", "FR"), subject_ids=["ann", "eve"])
    assert names(await galleries.search(probe_subject_id="ann", scope=scope)) == [("g", "eve")]


async def test_a_subject_as_probe_is_refused_with_probes_or_where_it_is_none(galleries: House) -> None:
    """Either probes or a subject with active encounters."""
    with pytest.raises(InvalidField):
        await galleries.search(TWIN, probe_subject_id="ann")
    with pytest.raises(InvalidField):
        await galleries.search()
    await galleries.update.subject(call("UpdateSubject"), "g", "bob", Status.INACTIVE)
    for nobody in ("nobody", "bob"):
        with pytest.raises(SubjectNotFound) as caught:
            await galleries.search(probe_subject_id=nobody)
        assert caught.value.field == "probe_subject_id"


async def test_several_probes_are_fused_under_every_scope(galleries: House) -> None:
    """The mean of the probes is what is searched, whatever restricts it."""
    probes = (b"twin#2", b"twin#3", b"twin#4")
    plain = await galleries.search(*probes, top=1)
    scoped = await galleries.search(
        *probes, top=1, scope=Scope(["h"], ["ann", "bob"], Equals("country", "DE"))
    )
    assert names(scoped) == names(plain) == [("g", "ann")]
    assert scoped.results[0].candidates == plain.results[0].candidates


async def test_fifty_samples_of_a_subject_push_nobody_out(house: House) -> None:
    """The list is as long as it can be, also where most of what is near is of one subject or not allowed."""
    close = [b"twin#%d" % number for number in range(50)]
    for subject in ("ann", "bob", "cat"):
        for part in (close[:25], close[25:]):
            await house.add(subject, *part, labels=Labels({"country": "DE"}))
    await house.add("dan", b"dan", labels=Labels({"country": "DE"}))
    await house.add("eve", b"eve", labels=Labels({"country": "FR"}))
    found = await house.search(TWIN, top=4, below=True, scope=Scope(filter=Equals("country", "DE")))
    assert {subject for _, subject in names(found)} == {"ann", "bob", "cat", "dan"}
    few = await house.search(TWIN, top=2, below=True, scope=Scope(subject_ids=["ann", "dan"]))
    assert names(few) == [("g", "ann"), ("g", "dan")]
    others = await house.search(probe_subject_id="ann", top=3, below=True)
    assert {subject for _, subject in names(others)} >= {"bob", "cat"}


async def test_a_pair_has_one_score(house: House) -> None:
    """Verify, Identify and Compare say the same of two templates, to the last digit."""
    rng = np.random.default_rng(0)
    stored = [fake_template(b"%d" % number) for number in range(40)]
    for number, template in enumerate(stored):
        await house.add(f"s{number}", SentTemplate(template.version, template.to_bytes(), 0))
    for _ in range(5):
        vector = rng.standard_normal(len(stored[0].vector)).astype(np.float32)
        sent = SentTemplate(stored[0].version, (vector / np.linalg.norm(vector)).tobytes(), 0)
        found = await house.search(sent, top=40, below=True)
        for hit in found.results[0].candidates:
            verified = await house.verify(
                call("Verify"),
                "g",
                subject_id=hit.subject_id,
                probe=sent,
                selection=FaceSelection.EXACTLY_ONE,
                min_revision="",
            )
            assert verified.best.score == hit.score
