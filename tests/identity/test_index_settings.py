"""A gallery's search: exact unless an operator chooses otherwise."""

import json
from pathlib import Path

import pytest

from facegrid.domain.errors import GalleryNotFound, InvalidField
from facegrid.domain.galleries import Gallery
from facegrid.domain.index_settings import EXACT_INDEX, IndexSettings, SearchMethod
from fakes import FakeVision
from house import House, build_house, call

APPROXIMATE = IndexSettings(SearchMethod.APPROXIMATE)


async def make(house: House, index: IndexSettings, name: str = "h") -> Gallery:
    """Make a gallery."""
    status = await house.galleries.create(
        call("CreateGallery"),
        name,
        pack_name="",
        verify_threshold=None,
        identify_threshold=None,
        keep_photographs=True,
        index=index,
    )
    return status.gallery


@pytest.fixture
def approximating(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """Return a house whose index may search approximately."""
    monkeypatch.setattr(house.index, "approximates", True)
    return house


async def test_an_exact_server_refuses_approximate_galleries(house: House) -> None:
    """The sentence names the field and the remedy; nothing is made."""
    with pytest.raises(InvalidField, match="FACEGRID_MILVUS") as caught:
        await make(house, APPROXIMATE)
    assert caught.value.field == "index.method"
    with pytest.raises(GalleryNotFound):
        await house.galleries.get("h")


async def test_searches_say_how_they_were_made(approximating: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An approximate gallery on a server that is exact is searched exactly, and says so."""
    gallery = await make(approximating, APPROXIMATE)
    assert gallery.index == IndexSettings(SearchMethod.APPROXIMATE, 64)
    assert not approximating.projection.is_exact(gallery)
    assert approximating.projection.is_exact(await approximating.galleries.get("g"))
    monkeypatch.setattr(approximating.index, "approximates", False)
    assert approximating.projection.is_exact(gallery)


@pytest.mark.parametrize(
    ("index", "field"),
    [
        (IndexSettings(SearchMethod.EXACT, 8), "index.nprobe"),
        (IndexSettings(SearchMethod.APPROXIMATE, -1), "index.nprobe"),
        (IndexSettings(SearchMethod.APPROXIMATE, 65_537), "index.nprobe"),
    ],
)
async def test_numbers_out_of_range_are_refused(
    approximating: House, index: IndexSettings, field: str
) -> None:
    """As is a number that an exact search has no use for."""
    with pytest.raises(InvalidField) as caught:
        await make(approximating, index)
    assert caught.value.field == field


async def test_search_parameters_are_changed_for_good(approximating: House, tmp_path: Path) -> None:
    """Searches use them from then on, also those of the next start; all else stays as it was."""
    before = await make(approximating, APPROXIMATE)
    changed = await approximating.galleries.set_search_parameters("h", 200)
    assert changed.index == IndexSettings(SearchMethod.APPROXIMATE, 200)
    assert await approximating.galleries.get("h") == changed
    again = build_house(tmp_path, FakeVision())
    read = await again.galleries.get("h")
    assert read.index == changed.index
    assert (read.key, read.created, read.gallery_id) == (before.key, before.created, before.gallery_id)
    await again.galleries.delete(call("DeleteGallery"), "h")
    again.close()


async def test_only_approximate_galleries_have_search_parameters(house: House) -> None:
    """The others, and those that are not there, are refused, as are numbers out of range."""
    for name, nprobe, error in (("g", 8, InvalidField), ("h", 8, GalleryNotFound), ("g", 0, InvalidField)):
        with pytest.raises(error):
            await house.galleries.set_search_parameters(name, nprobe)
    assert (await house.galleries.get("g")).index == EXACT_INDEX


@pytest.mark.usefixtures("house")
async def test_a_gallery_of_an_earlier_release_is_searched_exactly(tmp_path: Path) -> None:
    """Its settings say nothing of an index."""
    (path,) = tmp_path.rglob("gallery.json")
    path.write_text(
        json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "index"})
    )
    again = build_house(tmp_path, FakeVision())
    assert (await again.galleries.get("g")).index == EXACT_INDEX
    again.close()
