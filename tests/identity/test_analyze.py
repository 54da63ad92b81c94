"""Attributes are read only where somebody allowed it and a model can."""

from collections.abc import Sequence

import pytest

from facegrid.domain.attributes import Attribute, Pose
from facegrid.domain.errors import (
    AttributeNotAllowed,
    AttributeNotAvailable,
    FacegridError,
    GalleryNotFound,
    InvalidField,
    ManyFacesFound,
    NoFaceFound,
    PackNotFound,
    PackNotInstalled,
)
from facegrid.domain.faces import FaceSelection
from facegrid.identity.analyze import AnalyzedFace
from fakes import fake_pack
from house import House

AGE, MASK, POSE = Attribute.AGE, Attribute.MASK, Attribute.POSE


async def analyze(
    house: House,
    *attributes: Attribute,
    photograph: bytes = b"ann",
    selection: FaceSelection = FaceSelection.EXACTLY_ONE,
    pack: str = "",
    gallery: str = "",
) -> list[AnalyzedFace]:
    """Analyze."""
    return await house.analyze(photograph, attributes, selection, pack_name=pack, gallery_name=gallery)


async def test_what_the_server_allows(house: House) -> None:
    """A request gets what it names and nothing else, whatever the model reads."""
    (one,) = await analyze(house, AGE)
    assert one.attributes.age == 40
    assert (one.attributes.pose, one.attributes.landmarks_106, one.attributes.mask) == (None, None, None)
    assert dict(one.face.crops) == {}


async def test_what_the_gallery_allows(house: House) -> None:
    """A gallery adds what was allowed when it was made, to its own requests alone."""
    await house.make_gallery("a", attributes=[POSE, MASK, Attribute.LANDMARKS_106])
    (one,) = await analyze(house, POSE, MASK, Attribute.LANDMARKS_106, AGE, gallery="a")
    assert one.attributes.pose == Pose(-3, 0, 12.5)
    assert (one.attributes.mask, one.attributes.age) == (0.25, 40)
    assert one.attributes.landmarks_106 is not None
    for gallery in ("", "g"):
        with pytest.raises(AttributeNotAllowed, match=r"^pose, mask is not allowed .*FACEGRID_ATTRIBUTES"):
            await analyze(house, AGE, MASK, POSE, gallery=gallery)


async def test_a_gallery_allows_only_what_its_pack_reads(house: House) -> None:
    """Else nobody would learn of it before the first request."""
    with pytest.raises(AttributeNotAvailable, match=r"no model of pack fake reads gender_presentation"):
        await house.make_gallery("b", attributes=[Attribute.GENDER_PRESENTATION])


async def test_several_faces(house: House) -> None:
    """Each face that is meant has its own, best detection first."""
    read = await analyze(house, AGE, photograph=b"ann+bob+eve", selection=FaceSelection.ALL)
    assert [one.attributes.age for one in read] == [40, 39.5, 39]
    assert [one.face.box.x for one in read] == [0, 100, 200]


@pytest.mark.parametrize(
    ("attributes", "changes", "error", "field_and_message"),
    [
        ([], {}, InvalidField, ("attributes", "attributes is empty")),
        ([Attribute.GENDER_PRESENTATION], {}, AttributeNotAvailable, ("attributes", "it reads age, pose")),
        ([AGE], {"photograph": b"ann+bob"}, ManyFacesFound, ("photograph", "exactly one")),
        ([AGE], {"photograph": b"wall"}, NoFaceFound, ("photograph", "no face")),
        ([AGE], {"pack": "other"}, PackNotFound, ("pack", "'other'")),
        ([AGE], {"gallery": "other"}, GalleryNotFound, ("gallery", "other")),
        ([AGE], {"gallery": "../g"}, InvalidField, ("gallery", "gallery is")),
        ([AGE], {"gallery": "g", "pack": "other"}, InvalidField, ("pack", "gallery g is bound to 'fake'")),
    ],
)
async def test_refusals(
    house: House,
    attributes: Sequence[Attribute],
    changes: dict[str, str],
    error: type[FacegridError],
    field_and_message: tuple[str, str],
) -> None:
    """What is wrong is named with its field."""
    field, message = field_and_message
    with pytest.raises(error, match=message) as caught:
        await analyze(house, *attributes, **changes)
    assert caught.value.field == field


async def test_permission_comes_before_the_photograph(house: House) -> None:
    """What is not allowed is not even looked for."""
    with pytest.raises(AttributeNotAllowed):
        await analyze(house, MASK, photograph=b"")


async def test_pack_of_the_gallery(house: House) -> None:
    """A gallery's requests use its pack, which may be named, and need it to be there."""
    house.vision.packs["second"] = fake_pack("second", "second-1")
    assert await analyze(house, AGE, gallery="g", pack="fake")
    house.vision.packs.pop("fake")
    with pytest.raises(PackNotInstalled):
        await analyze(house, AGE, gallery="g")
    assert await analyze(house, AGE, pack="second")
