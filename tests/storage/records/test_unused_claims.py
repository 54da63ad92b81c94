"""Claims of enrolments that ended before they wrote: a check removes them, unless one is under way."""

import pytest

from facegrid.domain.errors import RequestIdReused
from facegrid.domain.galleries import Gallery
from facegrid.storage.objects.store import ObjectStore
from facegrid.storage.records.records import StoredRecords
from storage.making import enrol, make_call
from storage.records.test_inspection import ONE, ROOT, THREE, found, inspect
from storage.records.test_mending import call_of, ids, names, opened


async def test_an_unused_claim_is_removed_unless_its_enrolment_begins_again(
    records: StoredRecords, gallery: Gallery, store: ObjectStore
) -> None:
    """A retry under way keeps it, so that what it makes can be deleted for good."""
    claims = [f"{ROOT}requests/{one.encounter_id}.json" for one in (ONE, THREE)]
    for one, claim in zip((ONE, THREE), claims, strict=True):
        await records.claim(gallery, one.subject_id, one.encounter_id, make_call("Enroll", one.request_id))
        store.put(claim, store.get(claim).replace(b'"time": "20', b'"time": "19'))
    with opened(store) as restarted:
        await restarted.claim(gallery, "jane", ONE.encounter_id, make_call("Enroll", ONE.request_id))
        findings = found(await inspect(restarted, gallery, repair=True))
        expected = [(ONE.encounter_id, False), (THREE.encounter_id, True)]
        assert [(one.name, one.repaired) for one in findings] == expected
        assert list(store.keys(f"{ROOT}requests/")) == claims[:1]
        await enrol(restarted, gallery, ONE, THREE)
        assert found(await inspect(restarted, gallery, repair=True)) == []
    assert await names(store) == ids(ONE, THREE)


async def test_an_enrolment_that_is_refused_keeps_no_unused_claim(
    records: StoredRecords, gallery: Gallery, store: ObjectStore
) -> None:
    """It is not under way, as another one of the same request id may be."""
    claim, enroll = f"{ROOT}requests/{ONE.encounter_id}.json", make_call("Enroll", ONE.request_id)
    await records.claim(gallery, "jane", ONE.encounter_id, enroll)
    store.put(claim, store.get(claim).replace(b'"time": "20', b'"time": "19'))
    with opened(store) as restarted:
        claims = (await restarted._of(gallery)).claims
        claims.make("jane", ONE.encounter_id, enroll)
        for removed in (False, True):
            with pytest.raises(RequestIdReused):
                await restarted.claim(gallery, "jane", ONE.encounter_id, call_of(ONE))
            (finding,) = found(await inspect(restarted, gallery, repair=True))
            assert finding.repaired is removed
            claims.end(ONE.encounter_id)
    assert not list(store.keys(f"{ROOT}requests/"))
