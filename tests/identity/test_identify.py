"""Searches: order, ties, thresholds, which face, several probes, revisions."""

import pytest

from facegrid.domain.errors import InvalidField, ManyFacesFound, NoFaceFound, RevisionNotReached
from facegrid.domain.faces import FaceSelection
from facegrid.domain.revisions import revision_token
from facegrid.identity.projection import Projection
from facegrid.storage.indexes.resident import ResidentIndex
from fakes import fake_template
from house import House, call


async def test_candidates_are_subjects_best_first_with_their_best_sample(house: House) -> None:
    """A subject appears once, with the score of its best sample."""
    await house.add("ann", b"ann#far", b"ann#2")
    await house.add("bob", b"bob")
    found = await house.search(b"ann#2", below=True)
    first, second = found.results[0].candidates
    assert (first.subject_id, first.sample, first.score) == ("ann", 1, 1.0)
    assert second.subject_id == "bob"
    assert found.report.subjects_searched == 2


async def test_ties_are_broken_by_id(house: House) -> None:
    """Subjects of the same score come in the order of their ids, at every length of the list."""
    for subject in ("zoe", "ann", "mia", "bea", "kim", "eva"):
        await house.add(subject, b"twin")
    for top in range(1, 7):
        found = await house.search(b"twin", top=top)
        names = [hit.subject_id for hit in found.results[0].candidates]
        assert names == ["ann", "bea", "eva", "kim", "mia", "zoe"][:top]


async def test_a_subject_of_many_samples_does_not_crowd_others_out(house: House) -> None:
    """The list is as long as asked for even where one subject has more samples than it has places."""
    for number in range(12):
        await house.add("ann", b"ann#%d" % number)
    await house.add("bob", b"bob")
    found = await house.search(b"ann", top=2, below=True)
    assert [hit.subject_id for hit in found.results[0].candidates] == ["ann", "bob"]


async def test_candidates_below_the_threshold_come_only_on_request(house: House) -> None:
    """A stranger has no candidates, unless the request is an investigation."""
    await house.add("ann", b"ann")
    assert (await house.search(b"stranger")).results[0].candidates == []
    assert len((await house.search(b"stranger", below=True)).results[0].candidates) == 1


async def test_exactly_one_face_is_searched_unless_more_are_asked_for(house: House) -> None:
    """A bystander stops the search; LARGEST ignores him, ALL searches him as well."""
    await house.add("ann", b"ann")
    await house.add("bob", b"bob")
    with pytest.raises(ManyFacesFound):
        await house.search(b"ann+bob")
    largest = await house.search(b"ann+bob", selection=FaceSelection.LARGEST)
    both = await house.search(b"ann+bob", selection=FaceSelection.ALL)
    assert [one.candidates[0].subject_id for one in largest.results] == ["ann"]
    assert [one.candidates[0].subject_id for one in both.results] == ["ann", "bob"]


async def test_no_face_is_an_error_not_a_stranger(house: House) -> None:
    """A photograph without a face never looks like a person who is not enrolled."""
    with pytest.raises(NoFaceFound):
        await house.search(b"wall", selection=FaceSelection.ALL)


async def test_several_photographs_of_one_person_are_searched_as_one(house: House) -> None:
    """Their mean is nearer to the person than the worse of them."""
    await house.add("ann", b"ann")
    single = [(await house.search(photograph)).results[0].candidates[0].score for photograph in PROBES]
    (pooled,) = (await house.search(*PROBES)).results
    assert pooled.candidates[0].score > min(single)


PROBES = (b"ann#2", b"ann#3", b"ann#4")


async def test_several_photographs_with_all_faces_are_refused(house: House) -> None:
    """Several probes are one person, so ALL makes no sense there."""
    with pytest.raises(InvalidField):
        await house.search(*PROBES, selection=FaceSelection.ALL)


@pytest.mark.parametrize("top", [0, -1, 1001, 10**9])
async def test_the_number_of_candidates_is_limited(house: House, top: int) -> None:
    """1 to 1000 candidates can be asked for."""
    with pytest.raises(InvalidField):
        await house.search(b"ann", top=top)


async def test_an_empty_gallery_answers_with_nobody(house: House) -> None:
    """A search of nobody is no error."""
    found = await house.search(b"ann")
    assert found.results[0].candidates == []
    assert found.report.subjects_searched == 0


async def test_a_search_sees_the_revision_that_it_insists_on(house: House) -> None:
    """The revision that a mutation returned can be asked for, and later ones answer it."""
    gallery = await house.galleries.get("g")
    encounter = await house.add("ann", b"ann")
    token = revision_token(gallery.gallery_id, encounter.revision)
    found = await house.search(b"ann", min_revision=token)
    assert found.report.revision >= encounter.revision


async def test_a_revision_that_does_not_come_is_unavailable_before_the_deadline(house: House) -> None:
    """A search that cannot see its min_revision in time says so."""
    gallery = await house.galleries.get("g")
    future = revision_token(gallery.gallery_id, 2**60)
    with pytest.raises(RevisionNotReached):
        await house.search(b"ann", min_revision=future, timeout_s=0.2)


@pytest.mark.parametrize("token", ["nonsense", "other-1f", "-", "0" * 32 + "-xyz"])
async def test_a_revision_of_another_gallery_is_refused(house: House, token: str) -> None:
    """A token that no call on this gallery returned is an error of the request."""
    with pytest.raises(InvalidField) as caught:
        await house.search(b"ann", min_revision=token)
    assert caught.value.field == "min_revision"


async def test_the_index_is_filled_from_the_records(house: House) -> None:
    """A new index over the same records finds all that was enrolled, and not what was deleted."""
    await house.add("ann", b"ann")
    await house.add("bob", b"bob")
    await house.subjects.delete(call("DeleteSubject"), "g", "bob")
    gallery = await house.galleries.get("g")
    projection = Projection(house.records, ResidentIndex(workers=1))
    await projection.ready(gallery)
    (hits,) = await projection.search(gallery, fake_template(b"bob").vector[None], 5)
    assert [hit.subject_id for hit in hits] == ["ann"]
    assert projection.subject_count(gallery) == 1
    assert projection.revision(gallery) == house.projection.revision(gallery)
