"""Real searches held against exact search, beside other calls."""

from facegrid.domain.audits import Tally
from facegrid.domain.index_settings import IndexSettings, SearchMethod
from house import House, call
from lossy_index import LISTS
from populace import enrol_people


def tally(house: House) -> Tally:
    """Return what was counted of the gallery "g"."""
    (watched,) = house.watch.galleries()
    return watched.tally


async def search_all(house: House, count: int) -> set[str]:
    """Search once for each of some subjects with one template, and return those that were found."""
    found = set()
    for number in range(count):
        found |= set(await house.found(f"one{number}#probe".encode()))
    return found


async def test_matches_that_a_search_missed_are_counted(lossy: House) -> None:
    """Each search is compared with all records: who stands in a list that was not read was missed."""
    await enrol_people(lossy, one=40, several=0)
    found = await search_all(lossy, 40)
    assert 0 < len(found) < 40
    assert await lossy.watch() == 40
    counted = tally(lossy)
    assert (counted.probes, counted.sought, counted.missed) == (40, 40, 40 - len(found))
    assert await lossy.watch() == 0


async def test_an_exact_gallery_is_not_watched(house: House) -> None:
    """Nothing can be missed there."""
    await enrol_people(house, one=3, several=0)
    await search_all(house, 3)
    assert await house.watch() == 0
    assert tally(house) == Tally()


async def test_a_stranger_has_nobody_to_be_missed(lossy: House) -> None:
    """The search counts, and no match."""
    await enrol_people(lossy, one=3, several=0)
    await lossy.search(b"stranger")
    await lossy.watch()
    assert (tally(lossy).probes, tally(lossy).sought) == (1, 0)


async def test_who_is_deleted_before_the_comparison_was_not_missed(lossy: House) -> None:
    """A comparison is of the gallery as it is then; so is what it is compared with."""
    await enrol_people(lossy, one=10, several=0)
    found = await search_all(lossy, 10)
    for name in sorted({f"one{number}" for number in range(10)} - found):
        await lossy.subjects.delete(call("DeleteSubject"), "g", name)
    await lossy.watch()
    assert (tally(lossy).probes, tally(lossy).missed) == (10, 0)


async def test_who_is_enrolled_before_the_comparison_was_not_missed(lossy: House) -> None:
    """The search is made again before a miss counts."""
    await lossy.make_gallery("h", index=IndexSettings(SearchMethod.APPROXIMATE, LISTS))
    await lossy.search(b"one0#probe", gallery="h")
    await enrol_people(lossy, one=1, several=0, gallery="h")
    await lossy.watch()
    (counted,) = [one.tally for one in lossy.watch.galleries() if one.gallery.name == "h"]
    assert (counted.probes, counted.sought, counted.missed) == (1, 1, 0)


async def test_no_more_than_64_searches_wait(lossy: House) -> None:
    """Others are let go: a search never waits for a comparison."""
    await enrol_people(lossy, one=2, several=0)
    for _ in range(40):
        await search_all(lossy, 2)
    assert await lossy.watch() == 64


async def test_searches_of_a_deleted_gallery_are_forgotten(lossy: House) -> None:
    """Its figures go with it."""
    await enrol_people(lossy, one=2, several=0)
    await search_all(lossy, 2)
    await lossy.galleries.delete(call("DeleteGallery"), "g")
    await lossy.watch()
    assert lossy.watch.galleries() == []
