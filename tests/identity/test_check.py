"""A check of records and index against each other, beside all that goes on."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import numpy as np
import pytest

from facegrid.domain.errors import DamagedRecords
from facegrid.domain.filters import Equals
from facegrid.domain.galleries import Gallery, IndexRows
from facegrid.domain.inspection import Inspected, Problem
from facegrid.domain.labels import NO_LABELS, Labels, Status
from facegrid.identity.check import Checked, CheckGallery, CheckStep
from facegrid.identity.ports import Hold
from fakes import DIMENSION, fake_template
from house import House, call


class PausedRecords:
    """Records that are inspected in part, and the rest when they are released."""

    def __init__(self, house: House) -> None:
        """Take the real records."""
        self._records = house.records
        self.inspected, self.released = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> object:
        """Do all else as the real records do."""
        return getattr(self._records, name)

    async def inspect(self, gallery: Gallery, hold: Hold, *, repair: bool) -> AsyncGenerator[Inspected]:
        """Inspect all, wait, and only then say so."""
        async with aclosing(self._records.inspect(gallery, hold, repair=repair)) as parts:
            found = [part async for part in parts]
        self.inspected.set()
        await self.released.wait()
        for part in found:
            yield part


async def check(house: House, *, repair: bool = False) -> tuple[Checked, set[tuple[Problem, str]]]:
    """Check gallery "g"; return the result and the findings."""
    checking = CheckGallery(house.galleries, house.records, house.projection, house.subjects._writes)
    steps = [step async for step in checking("g", repair=repair)]
    (checked,) = [step for step in steps if isinstance(step, Checked)]
    findings = [one for step in steps if isinstance(step, CheckStep) for one in step.findings]
    assert sum(checked.found.values()) == len(findings)
    assert sum(checked.repaired.values()) == len([one for one in findings if one.repaired])
    return checked, {(one.problem, one.name) for one in findings}


async def test_a_sound_gallery_is_counted(house: House) -> None:
    """Encounters, samples and rows, and nothing is found."""
    await house.add("ann", b"ann", b"ann#2")
    await house.add("bob", b"bob")
    checked, findings = await check(house)
    assert findings == set()
    assert (checked.encounters, checked.samples, checked.indexed, checked.complete) == (2, 3, 3, True)


async def test_the_index_is_made_equal_to_the_records(house: House) -> None:
    """Missing rows are added, those of nobody removed, other vectors and other subjects' overwritten."""
    added = {
        name: await house.add(name, name.encode(), f"{name}#2".encode()) for name in ("a", "b", "c", "d")
    }
    ids = {name: one.encounter_id for name, one in added.items()}
    gallery = (await house.galleries.get("g")).gallery_id
    other = np.eye(1, DIMENSION, dtype=np.float32)

    def row(subject: str, encounter_id: str, sample: int = 0) -> IndexRows:
        return IndexRows([subject], [encounter_id], [sample], other, [NO_LABELS])

    await house.index.remove(gallery, [ids["a"]])
    await house.index.add(gallery, row("b", ids["b"]))
    await house.index.add(gallery, row("zed", ids["c"]))
    await house.index.add(gallery, row("d", ids["d"], sample=7))
    await house.index.add(gallery, row("eve", "ee" * 16))
    expected = {
        (Problem.NOT_INDEXED, ids["a"]),
        (Problem.DIFFERENT, ids["b"]),
        (Problem.DIFFERENT, ids["c"]),
        (Problem.NOT_RECORDED, ids["c"]),  # as the other subject's
        (Problem.DIFFERENT, ids["d"]),
        (Problem.NOT_RECORDED, "ee" * 16),
    }
    checked, findings = await check(house)
    assert (findings, sum(checked.repaired.values())) == (expected, 0)
    await check(house, repair=True)
    assert (await check(house))[1] == set()
    for name in added:
        (hit,) = (await house.search(name.encode())).results[0].candidates
        assert (hit.subject_id, hit.score) == (name, 1.0)
    (hits,) = await house.projection.search(await house.galleries.get("g"), other, 5)
    assert "eve" not in {hit.subject_id for hit in hits}


async def test_labels_are_made_equal_to_the_records(house: House) -> None:
    """Metadata and sub-galleries that the index has otherwise, and a status of which it does not know."""
    labels = Labels({"country": "DE", "born": 1980}, ("north",))
    ids = {name: (await house.add(name, name.encode(), labels=labels)).encounter_id for name in "abcd"}
    gallery = await house.galleries.get("g")
    for name, held in (("a", NO_LABELS), ("b", replace(labels, metadata={"born": 1980.0, "country": "DE"}))):
        vector = fake_template(name.encode()).vector[None]
        await house.index.add(gallery.gallery_id, IndexRows([name], [ids[name]], [0], vector, [held]))
    await house.update.subject(call("UpdateSubject"), "g", "c", Status.INACTIVE)
    vector = fake_template(b"c").vector[None]
    await house.index.add(gallery.gallery_id, IndexRows(["c"], [ids["c"]], [0], vector, [labels]))
    expected = {(Problem.LABELS_OUT_OF_DATE, ids[name]) for name in "abc"}
    checked, findings = await check(house)
    assert (findings, checked.sound) == (expected, False)
    checked, findings = await check(house, repair=True)
    assert (findings, checked.sound) == (expected, True)
    assert (await check(house))[1] == set()
    for name in "abcd":
        assert await house.found(name.encode(), Equals("born", 1980)) == ([] if name == "c" else [name])


async def test_what_changes_during_a_check_is_not_wrong(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enrolments and deletions after the records were read are looked at again, and left alone."""
    await house.add("ann", b"ann")
    await house.add("bob", b"bob")
    paused = PausedRecords(house)
    monkeypatch.setattr(house, "records", paused)
    running = asyncio.create_task(check(house, repair=True))
    await paused.inspected.wait()
    await house.subjects.delete(call("DeleteSubject"), "g", "ann")
    await house.add("cid", b"cid")
    paused.released.set()
    checked, findings = await running
    assert (findings, checked.indexed) == (set(), 2)
    assert [await house.found(name) for name in (b"ann", b"bob", b"cid")] == [[], ["bob"], ["cid"]]


async def test_a_gallery_that_cannot_be_loaded_is_checked_and_loads_again(house: House) -> None:
    """Its damaged encounter is named and set aside, and then found neither in records nor in the index."""
    ann, _ = await house.add("ann", b"ann"), await house.add("bob", b"bob")
    store = house.records._store
    (mark,) = [key for key in store.keys("") if key.endswith(f"{ann.encounter_id}/encounter.json")]
    store.put(mark, b"{")
    house.projection._states.clear()
    gallery = await house.galleries.get("g")
    with pytest.raises(DamagedRecords):
        await house.projection.ready(gallery)
    checked, findings = await check(house)
    assert (findings, checked.complete) == ({(Problem.DAMAGED, ann.encounter_id)}, False)
    checked, findings = await check(house, repair=True)
    assert checked.complete
    assert checked.repaired == {Problem.DAMAGED: 1}
    (hits,) = await house.projection.search(gallery, fake_template(b"bob").vector[None], 5)
    assert [hit.subject_id for hit in hits] == ["bob"]


async def test_the_rows_of_a_damaged_encounter_stay_until_it_is_set_aside(house: House) -> None:
    """Nothing is taken out of searches because it can't be read."""
    ann = await house.add("ann", b"ann")
    store = house.records._store
    (mark,) = [key for key in store.keys("") if key.endswith(f"{ann.encounter_id}/encounter.json")]
    data = store.get(mark)
    store.put(mark, b"{")
    assert (await check(house))[1] == {(Problem.DAMAGED, ann.encounter_id)}
    assert await house.found(b"ann") == ["ann"]
    store.put(mark, data)
    assert (await check(house))[1] == set()


async def test_an_index_that_lost_its_rows_gets_them_back(house: House) -> None:
    """Each is told, and added."""
    ann, bob = await house.add("ann", b"ann"), await house.add("bob", b"bob", b"bob#2")
    gallery = await house.galleries.get("g")
    await house.index.drop(gallery.gallery_id)
    await house.index.open(gallery.gallery_id, gallery.template_version, gallery.dimension)
    checked, findings = await check(house, repair=True)
    assert findings == {(Problem.NOT_INDEXED, one.encounter_id) for one in (ann, bob)}
    assert checked.indexed == 0
    assert [await house.found(name) for name in (b"ann", b"bob")] == [["ann"], ["bob"]]
