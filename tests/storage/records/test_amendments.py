"""Changed labels and statuses: whatever write a crash comes before, a change is there or not begun."""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from itertools import groupby

import pyarrow.parquet as pq
import pytest

from facegrid.domain.errors import RequestIdReused, StoreUnavailable
from facegrid.domain.galleries import Amendment, Encounter, Tombstone
from facegrid.domain.labels import Labels, Status
from facegrid.storage.records.records import StoredRecords
from facegrid.storage.records.subjects import StoredSubjects
from storage.making import MemoryStore, make_call, make_encounter
from storage.records.test_compaction import ROOT, compact, crash_at_each_write
from storage.records.test_crashes import CREATE, GALLERY, Action, delete_jane, enrol, ids, load, opened

JANE, JOHN = make_encounter(1), make_encounter(2, "john")
OTHER = make_encounter(3)
FIRST, SECOND = Labels({"country": "DE"}, ("north",)), Labels({"country": "Freedonia"})
RELABEL = make_call("UpdateEncounter", "relabel")
INACTIVATE = make_call("UpdateSubject", "inactivate")
INACTIVE = Labels(subject_status=Status.INACTIVE)
STEPS = [(Labels(), Labels()), (FIRST, Labels()), (SECOND, Labels()), (SECOND, INACTIVE)]


async def make_two(records: StoredRecords) -> None:
    """Enrol two people."""
    await records.create_gallery(GALLERY, CREATE)
    await enrol(records, JANE)
    await enrol(records, JOHN)


async def make_rows(records: StoredRecords) -> None:
    """Enrol them, and leave no small object."""
    await make_two(records)
    await compact(records)


async def amend(records: StoredRecords, subject_id: str, amendment: Amendment, request_id: str) -> None:
    """Do what an update does, its retry included."""
    call = make_call("Update", request_id)
    if await records.amendment(GALLERY, call) is None:
        await records.amend(GALLERY, subject_id, amendment, call)
    await records.settle(GALLERY, call)


async def relabel(records: StoredRecords) -> None:
    """Change Jane's labels, twice, and take John out of searches."""
    await amend(records, "jane", Amendment(JANE.encounter_id, FIRST, 10), "first")
    await amend(records, "jane", Amendment(JANE.encounter_id, SECOND, 20), "second")
    await amend(records, "john", Amendment("", INACTIVE, 30), "john")


async def labels_of(records: StoredRecords, subject_id: str) -> list[Labels]:
    """Return the labels of a subject's encounters."""
    subject = await records.subject(GALLERY, subject_id)
    return [one.labels for one in subject.encounters] if subject else []


async def check(records: StoredRecords, jane: Sequence[Labels], john: Sequence[Labels]) -> None:
    """Hold what all readers see against labels, before and after a load."""
    for _ in range(2):
        assert await labels_of(records, "jane") == list(jane)
        assert await labels_of(records, "john") == list(john)
        loaded = await load(records)
        assert sorted(ids(loaded)) == ids([JANE] * len(jane) + [JOHN] * len(john))
        batches = [rows async for rows, _ in records.rows(GALLERY)]
        rows = [labels for part in batches for labels in part.labels]
        assert rows == [one for one in (*jane, *john) if one.searched for _ in range(2)]
        john_found = await records.subject(GALLERY, "john")
        expected = john[0].subject_status if john else None
        assert (john_found.status if john_found else None) is expected


@pytest.mark.parametrize("prepare", [make_two, make_rows])
async def test_changes_are_whole_at_every_write(prepare: Action) -> None:
    """Each change is one write; a retry does the rest, and a start finds all of it."""
    states = []
    async for _, store in crash_at_each_write(prepare, relabel):
        async with opened(store) as records:
            seen = (await labels_of(records, "jane"), await labels_of(records, "john"))
            states.append(seen)
            await check(records, *seen)
            await relabel(records)
            await check(records, [SECOND], [INACTIVE])
            assert await records.last_revision(GALLERY) == 30
    shown = [state for state, _ in groupby(states)]  # an owner's first write, a manifest, shows nothing
    assert shown == [([one], [other]) for one, other in STEPS]


@pytest.mark.parametrize("prepare", [make_two, make_rows])
async def test_compaction_folds_changes_at_every_write(prepare: Action) -> None:
    """No reader can tell where it was broken off; in the end no amendment is left, and retries are known."""

    async def changed(records: StoredRecords) -> None:
        await prepare(records)
        await relabel(records)

    async for _, store in crash_at_each_write(changed, compact):
        async with opened(store) as records:
            await check(records, [SECOND], [INACTIVE])
            await relabel(records)
            await check(records, [SECOND], [INACTIVE])
            await compact(records)
            await check(records, [SECOND], [INACTIVE])
            assert not [key for key in store.keys(ROOT) if "/amendments/" in key]
            again = await records.amendment(GALLERY, make_call("Update", "first"))
            assert again is not None
            assert again.revision == 10
            with pytest.raises(RequestIdReused):
                await records.amendment(GALLERY, make_call("Update", "first", "another payload"))
            assert await records.last_revision(GALLERY) == 30
        async with opened(store) as records:
            await check(records, [SECOND], [INACTIVE])


@pytest.mark.parametrize("prepare", [make_two, make_rows])
async def test_a_deletion_takes_changes_along_at_every_write(prepare: Action) -> None:
    """Tombstones win, and no label outlives its encounter."""

    async def changed(records: StoredRecords) -> None:
        await prepare(records)
        await relabel(records)

    async for _, store in crash_at_each_write(changed, delete_jane):
        async with opened(store) as records:
            seen = await labels_of(records, "jane")
            assert seen in ([SECOND], [])
            await check(records, seen, [INACTIVE])
            await delete_jane(records)
            await check(records, [], [INACTIVE])
        async with opened(store) as records:
            await load(records)
            await compact(records)
            await check(records, [], [INACTIVE])
            assert not [key for key in store.keys(ROOT) if "/amendments/" in key]
            segments = [store.get(key) for key in store.keys(ROOT) if key.endswith(".parquet")]
            rows = [row for data in segments for row in pq.read_table(BytesIO(data)).to_pylist()]
            assert not any(b"Freedonia" in row["record"] or "Freedonia" in str(row["labels"]) for row in rows)


async def test_what_changes_while_a_compaction_runs_is_kept() -> None:
    """A change that no index may know yet is not folded; one that comes meanwhile counts after it."""
    store = MemoryStore()
    async with opened(store) as records:
        await make_rows(records)
        await records.amend(GALLERY, "jane", Amendment(JANE.encounter_id, FIRST, 10), RELABEL)
        await compact(records)
        assert await records.amended(GALLERY) == {JANE.encounter_id}
        assert len([key for key in store.keys(ROOT) if "/amendments/" in key]) == 1
        await amend(records, "jane", Amendment(JANE.encounter_id, SECOND, 20), "second")
        await compact(records)
        await check(records, [SECOND], [Labels()])
        async with opened(MemoryStore(store.objects)) as restarted:
            await check(restarted, [SECOND], [Labels()])
        await records.settle(GALLERY, RELABEL)
        await compact(records)
        await check(records, [SECOND], [Labels()])
        assert not [key for key in store.keys(ROOT) if "/amendments/" in key]
        await compact(records)
        assert await records.amended(GALLERY) == set()


class LateStore(MemoryStore):
    """A store that writes an amendment, and says that it did not."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write an object unless one is there."""
        written = super().put_if_absent(key, data)
        if "/amendments/" in key:
            raise StoreUnavailable("no answer came")
        return written


async def test_a_change_whose_write_failed_and_was_done_counts_for_its_retry() -> None:
    """It is as one that succeeded: seen from then on, and folded."""
    async with opened(LateStore()) as records:
        await make_two(records)
        with pytest.raises(StoreUnavailable):
            await amend(records, "john", Amendment("", INACTIVE, 30), "john")
        await amend(records, "john", Amendment("", INACTIVE, 30), "john")
        assert await labels_of(records, "john") == [INACTIVE]
        await compact(records)
        assert await records.amended(GALLERY) == set()
        assert await labels_of(records, "john") == [INACTIVE]


@pytest.fixture
def busy() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("busy")
def test_changes_that_several_threads_write_all_count() -> None:
    """None falls out of what compaction folds before it deletes the objects; removals hurt no other."""
    amendments = StoredSubjects(MemoryStore(), GALLERY).amendments

    def write(first: int) -> None:
        for number in range(first, 1600, 4):
            call = make_call("Update", f"{number}")
            amendments.write("", Amendment(f"e{number}", INACTIVE, 10), call)
            amendments.settle(call)
            if number % 2:
                amendments.erase([f"e{number}"])
                amendments.settled()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    assert amendments.newest.keys() >= {f"e{number}" for number in range(0, 1600, 2)}
    assert len(amendments.settled()) == amendments.count == 800


async def test_a_subject_made_again_is_not_of_the_old_ones_status() -> None:
    """What was said of a subject ends with it, though the amendment may still be there."""
    async with opened(MemoryStore()) as records:
        await make_two(records)
        await records.amend(GALLERY, "jane", Amendment("", INACTIVE, 40), INACTIVATE)
        await enrol(records, with_labels(OTHER, INACTIVE))
        assert await labels_of(records, "jane") == [INACTIVE, INACTIVE]
        await records.bury(GALLERY, Tombstone(tuple(ids([JANE, OTHER])), 50), make_call("Delete", "jane"))
        await records.erase(GALLERY, "jane", ids([JANE, OTHER]))
        await enrol(records, replace(make_encounter(60), revision=60))
        assert await labels_of(records, "jane") == [Labels()]
        await compact(records)
        assert await labels_of(records, "jane") == [Labels()]


def with_labels(encounter: Encounter, labels: Labels) -> Encounter:
    """Return an encounter with labels."""
    return replace(encounter, labels=labels)
