"""Repairs that break off at each write."""

from itertools import count

from facegrid.identity.ports import Claim
from storage.making import DyingStore, MemoryStore, PowerCut, enrol, make_call
from storage.records.test_inspection import GALLERY, ONE, ROOT, THREE
from storage.records.test_mending import call_of, check, delete, opened


async def test_a_damaged_claim_never_gives_way_to_none() -> None:
    """A crash comes before each write of the repair: what was deleted can never be enrolled again."""
    prepared, claim = MemoryStore(), f"{ROOT}requests/{THREE.encounter_id}.json"
    with opened(prepared) as records:
        await records.create_gallery(GALLERY, make_call("CreateGallery", "r1"))
        await enrol(records, GALLERY, ONE, THREE)
        await delete(records, THREE)
    prepared.put(claim, b"{")
    for writes in count():
        store, finished = MemoryStore(prepared.objects), True
        with opened(DyingStore(store, writes)) as dying:
            try:
                await check(dying)
            except PowerCut:
                finished = False
        assert claim in store.objects
        with opened(store) as restarted:
            await check(restarted)
            assert await restarted.find_claim(GALLERY, THREE.encounter_id, call_of(THREE)) is Claim.DELETED
        if finished:
            return
