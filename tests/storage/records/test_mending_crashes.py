"""Repairs that break off at each write, and those in a store that returns no damaged object."""

from itertools import count

from facegrid.identity.ports import Claim
from facegrid.storage.objects.store import UnreadableObject
from storage.making import DyingStore, MemoryStore, PowerCut, compact, enrol, make_call
from storage.records.test_inspection import GALLERY, ONE, ROOT, THREE
from storage.records.test_mending import call_of, check, delete, ids, key_of, names, opened, spoil_footer


class CheckingStore(MemoryStore):
    """A store that returns an object as a whole only where it is what was written, as that of S3 does."""

    spoiled: frozenset[str] = frozenset()

    def spoil(self, key: str, data: bytes) -> None:
        """Change an object behind the store's back."""
        self.objects[key], self.spoiled = data, self.spoiled | {key}

    def get(self, key: str) -> bytes:
        """Return an object."""
        if key in self.spoiled:
            raise UnreadableObject(key)
        return super().get(key)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return part of an object as it is."""
        return self.objects[key][start : start + length]

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""
        self.spoiled = self.spoiled - {key}
        super().put(key, data)


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


async def test_what_a_checking_store_refuses_is_mended_as_elsewhere() -> None:
    """The bytes that are left are set aside, and the rows of a segment whose footer is damaged are read."""
    store, claim = CheckingStore(), f"{ROOT}requests/{THREE.encounter_id}.json"
    with opened(store) as records:
        await records.create_gallery(GALLERY, make_call("CreateGallery", "r1"))
        await enrol(records, GALLERY, ONE)
        await compact(records, GALLERY)
        await enrol(records, GALLERY, THREE)
    segment = key_of(store, ".parquet")
    store.spoil(segment, spoil_footer(store.objects[segment]))
    store.spoil(claim, b"{")
    with opened(store) as restarted:
        damaged = {f"files/{segment.rpartition('/')[2]}", f"requests/{THREE.encounter_id}.json"}
        assert await check(restarted) == {(name, True) for name in damaged}
    assert store.objects[key_of(store, "quarantine/")] == b"{"
    assert await names(store) == ids(ONE, THREE)
