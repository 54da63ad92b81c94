"""What every index promises of its entries, and of another that is begun beside it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from contract.indexes import DIMENSION, rows
from facegrid.domain.errors import IndexLoading
from facegrid.domain.galleries import IndexEntry, IndexRows, index_entries
from facegrid.domain.labels import NO_LABELS, Labels, labels_checksum
from facegrid.identity.ports import Index
from index_rows import unit_vectors
from labelled import random_labels


async def entries(index: Index, gallery: str, ids: Sequence[str] | None = None) -> list[IndexEntry]:
    """Return all pages as one, sorted."""
    found = [entry async for page in index.entries(gallery, ids) for entry in page]
    return sorted(found, key=lambda one: (len(one.encounter_id), one.encounter_id, one.sample))


async def test_entries_are_the_rows_with_their_checksums(index: Index, gallery: str) -> None:
    """All of them over many pages, or those of some encounters; unknown ids give none."""
    stored = rows(unit_vectors(2_500))
    await index.open(gallery, "v1", DIMENSION)
    assert await entries(index, gallery) == []
    await index.add(gallery, stored)
    await index.remove(gallery, ["e7"])
    left = [entry for entry in index_entries(stored) if entry.encounter_id != "e7"]
    assert await entries(index, gallery) == left
    assert await entries(index, gallery, ["e7", "e3", "never"]) == left[6:8]
    assert await entries(index, gallery, []) == []


async def test_entries_tell_labels(index: Index, gallery: str) -> None:
    """Any value of any type, in any order, and what they are changed to."""
    said = [NO_LABELS, *random_labels(200)]
    stored = replace(rows(unit_vectors(len(said))), labels=said)
    await index.open(gallery, "v1", DIMENSION)
    await index.add(gallery, stored)
    assert await entries(index, gallery) == index_entries(stored)
    turned = replace(stored, labels=said[::-1])
    await index.add(gallery, turned)
    assert await entries(index, gallery) == index_entries(turned)
    assert len({one.labels for one in index_entries(stored)}) > 20
    backwards = Labels({"b": 1, "a": 1.0}, ("x", "y", "x"))
    assert labels_checksum(Labels({"a": 1.0, "b": 1}, ("y", "x"))) == labels_checksum(backwards)
    assert labels_checksum(Labels({"a": 1, "b": 1}, ("y", "x"))) != labels_checksum(backwards)


async def test_no_row_slips_past_while_others_go(index: Index, gallery: str) -> None:
    """What is there from the first page to the last is among the entries."""
    stored = rows(unit_vectors(3_000))
    await index.open(gallery, "v1", DIMENSION)
    await index.add(gallery, stored)
    seen: set[str] = set()
    number = 0
    async for page in index.entries(gallery):
        seen.update(f"{one.encounter_id}/{one.sample}" for one in page)
        await index.remove(gallery, [f"e{number}", f"e{1_499 - number}"])
        number += 1
    gone = {f"e{place}" for step in range(number) for place in (step, 1_499 - step)}
    assert {key for key in stored.keys if key.partition("/")[0] not in gone} <= seen


async def test_an_index_is_filled_beside_another_and_takes_its_place(index: Index, gallery: str) -> None:
    """Searches ask the old one until the switch and the new one from then on; the old one is gone."""
    old, new = rows(unit_vectors(6)), rows(unit_vectors(6, seed=1), prefix="n")
    await index.open(gallery, "v1", DIMENSION)
    await index.add(gallery, old)
    for stored in (new, old):  # again, from a new one to the next
        beside = await index.begin(gallery, "v1", DIMENSION)
        await index.add(beside, rows(unit_vectors(2), prefix="x"))
        await index.add(beside, stored)
        await index.remove(beside, ["x0"])
        before = (await entries(index, gallery))[0].encounter_id[0]
        assert before == ("e" if stored is new else "n")
        await index.promote(gallery, beside)
        assert await entries(index, gallery) == index_entries(stored)
        (hits,) = await index.search(gallery, stored.vectors[:1], 1)
        assert hits[0].encounter_id == stored.encounter_ids[0]
        with pytest.raises(IndexLoading):
            await index.add(beside, new)
    assert await index.open(gallery, "v1", DIMENSION) == set(old.keys)


async def test_what_was_begun_and_left_does_not_touch_the_gallery(index: Index, gallery: str) -> None:
    """It can be dropped alone, and it is not in the way of the next opening or the gallery's end."""
    stored = rows(unit_vectors(4))
    await index.open(gallery, "v1", DIMENSION)
    await index.add(gallery, stored)
    first, second = [await index.begin(gallery, "v1", DIMENSION) for _ in range(2)]
    await index.add(second, rows(unit_vectors(2), prefix="x"))
    await index.drop(first)
    assert await index.open(gallery, "v1", DIMENSION) == set(stored.keys)
    await index.drop(gallery)
    assert await index.open(gallery, "v1", DIMENSION) == set()


async def test_a_new_version_begins_beside_the_old(index: Index, gallery: str) -> None:
    """The other version may have vectors of another length."""
    await index.open(gallery, "v1", DIMENSION)
    await index.add(gallery, rows(unit_vectors(4)))
    beside = await index.begin(gallery, "v2", 8)
    vectors = np.eye(2, 8, dtype=np.float32)
    await index.add(beside, IndexRows(["s", "t"], ["e1", "e2"], [0, 0], vectors, [NO_LABELS] * 2))
    await index.promote(gallery, beside)
    (hits,) = await index.search(gallery, vectors[:1], 2)
    assert [hit.subject_id for hit in hits] == ["s", "t"]
    assert await index.open(gallery, "v2", 8) == {"e1/0", "e2/0"}
