"""Galleries of record, without crashes."""

from dataclasses import replace

import pytest

from facegrid.domain.errors import GalleryExists, GalleryNotFound, RequestIdReused
from facegrid.domain.galleries import Gallery
from facegrid.storage.records.codec import gallery_form, parse_gallery
from facegrid.storage.records.records import StoredRecords
from storage.making import (
    DyingStore,
    MemoryStore,
    PowerCut,
    enrol,
    load,
    make_call,
    make_encounter,
    make_gallery,
)

CREATE = make_call("CreateGallery", "r1")


async def test_a_gallery_is_read_as_it_was_made(records: StoredRecords) -> None:
    """Every setting survives, times to the microsecond and the key among them."""
    made = await records.create_gallery(make_gallery(), CREATE)
    assert made == make_gallery()
    assert await records.gallery("staff") == made


async def test_a_gallery_that_was_made_needs_no_store_to_be_searched() -> None:
    """Its first search does not wait for a store that stalls."""
    store = DyingStore(MemoryStore(), writes=3)
    records = StoredRecords(store, workers=1)
    made = await records.create_gallery(make_gallery(), CREATE)
    with pytest.raises(PowerCut):
        store.put("a", b"")
    assert await records.gallery("staff") == made
    records.close()


@pytest.mark.parametrize(
    ("later", "nothing"), [("quality_rules", ()), ("attributes", ()), ("former_ids", ())]
)
def test_a_gallery_of_an_older_release(later: str, nothing: tuple[()]) -> None:
    """A record that does not have what was thought of later is read as a gallery without it."""
    form = gallery_form(make_gallery())
    del form[later]
    assert parse_gallery(form) == replace(make_gallery(), **{later: nothing})


async def test_a_repeated_creation_returns_the_gallery_that_the_first_made(
    records: StoredRecords, gallery: Gallery
) -> None:
    """The retry brings another random id and key; the first ones stay."""
    assert await records.create_gallery(make_gallery(gallery_id="b2" * 16), CREATE) == gallery


async def test_a_name_or_a_request_id_that_is_taken_is_refused(
    records: StoredRecords, gallery: Gallery
) -> None:
    """Another call can't make the gallery again, nor the same one with another payload."""
    with pytest.raises(GalleryExists, match="staff"):
        await records.create_gallery(make_gallery(gallery_id="b2" * 16), make_call("CreateGallery", "r2"))
    with pytest.raises(RequestIdReused):
        await records.create_gallery(make_gallery("other"), make_call("CreateGallery", "r1", "another"))
    assert await records.galleries("", 10, lambda _: True) == [gallery]


async def test_galleries_come_in_the_order_of_their_names(records: StoredRecords) -> None:
    """Paging follows names, in which a dash sorts before a dot but `a` before both."""
    for number, name in enumerate(["b", "a", "a.x", "a-x", "B"]):
        await records.create_gallery(make_gallery(name, f"{number:032x}"), make_call("CreateGallery", name))
    assert [one.name for one in await records.galleries("", 10, lambda _: True)] == [
        "B",
        "a",
        "a-x",
        "a.x",
        "b",
    ]
    assert [one.name for one in await records.galleries("a", 2, lambda _: True)] == ["a-x", "a.x"]


async def test_a_deleted_gallery_leaves_its_name_free_and_inherits_nothing(
    records: StoredRecords, gallery: Gallery
) -> None:
    """The deletion's retry answers with the same id and touches no gallery of the same name made since."""
    call = make_call("DeleteGallery", "d1")
    await enrol(records, gallery, make_encounter(1))
    for _ in range(2):
        assert await records.unname_gallery("staff", call) == gallery.gallery_id
        await records.erase_gallery(gallery.gallery_id)
    with pytest.raises(GalleryNotFound):
        await records.gallery("staff")
    with pytest.raises(RequestIdReused, match="deleted"):
        await records.create_gallery(make_gallery(), CREATE)
    again = await records.create_gallery(make_gallery(gallery_id="b2" * 16), make_call("CreateGallery", "r2"))
    assert await records.unname_gallery("staff", call) == gallery.gallery_id
    assert await records.gallery("staff") == again
    assert await load(records, again) == []


async def test_an_unknown_gallery_is_not_found(records: StoredRecords) -> None:
    """Reading and deleting say so alike."""
    with pytest.raises(GalleryNotFound):
        await records.gallery("staff")
    with pytest.raises(GalleryNotFound):
        await records.unname_gallery("staff", make_call("DeleteGallery", "d1"))
