"""A gallery with quality rules takes in what keeps them, all samples of an encounter or none."""

from dataclasses import replace

import pytest

from facegrid.domain.errors import GalleryNotFound, InvalidField, QualityTooLow
from facegrid.domain.faces import FaceSelection
from facegrid.domain.packs import NormQuality
from facegrid.domain.quality import QualityRule
from facegrid.domain.templates import SentTemplate
from facegrid.identity.enroll import EnrollMode
from facegrid.identity.galleries import GalleryStatus
from fakes import fake_template
from house import House, call

EYES = QualityRule("inter_eye_distance", minimum=30)  # FakeVision's faces have 40 px, those from afar 20


async def _create(house: House, *rules: QualityRule) -> GalleryStatus:
    return await house.galleries.create(
        call("CreateGallery"),
        "strict",
        pack_name="",
        verify_threshold=None,
        identify_threshold=None,
        keep_photographs=True,
        quality_rules=rules,
    )


async def _enrol(house: House, *samples: bytes | SentTemplate, request_id: str = "") -> None:
    await house.enroll(
        call("Enroll", request_id, repr(samples)),
        "strict",
        subject_id="ann",
        mode=EnrollMode.ADD,
        samples=samples,
        selection=FaceSelection.EXACTLY_ONE,
    )


async def test_one_sample_of_low_quality_keeps_all_out(house: House) -> None:
    """Nothing is stored, not even the request id, so that better photographs may come under the same one."""
    gallery = (await _create(house, EYES)).gallery
    with pytest.raises(QualityTooLow, match=r"inter_eye_distance is 20 px, minimum 30 px") as caught:
        await _enrol(house, b"ann", b"far:ann", request_id="q")
    assert caught.value.field == "samples[1]"
    assert await house.records.subject(gallery, "ann") is None
    await _enrol(house, b"ann", b"ann#2", request_id="q")
    assert len((await house.subjects.get("strict", "ann")).encounters) == 1


async def test_a_template_is_not_enrolled_where_there_are_rules(house: House) -> None:
    """Its norm is a claim, and nothing else of it can be measured."""
    await _create(house, EYES)
    template = fake_template(b"ann")
    with pytest.raises(QualityTooLow) as caught:
        await _enrol(house, b"ann", SentTemplate(template.version, template.to_bytes(), template.norm))
    assert caught.value.field == "samples[1]"


async def test_probes_are_not_held_against_the_rules(house: House) -> None:
    """Who is searched from afar is found: rules are for what stays."""
    await _create(house, EYES)
    await _enrol(house, b"ann")
    found = await house.identify(
        call("Identify"),
        "strict",
        [b"far:ann"],
        FaceSelection.EXACTLY_ONE,
        top=1,
        include_below_threshold=False,
        min_revision="",
    )
    assert [hit.subject_id for hit in found.results[0].candidates] == ["ann"]


async def test_a_gallery_of_a_bad_rule_is_not_made(house: House) -> None:
    """A rule about a measure that the pack does not have leaves no gallery behind."""
    with pytest.raises(InvalidField, match="template_norm"):
        await _create(house, EYES, QualityRule("template_norm", minimum=7))
    with pytest.raises(GalleryNotFound):
        await house.galleries.get("strict")


async def test_a_norm_that_tells_quality_is_measured_and_ruled(house: House) -> None:
    """Where the pack states its norms, a face with a template has the measure, and a rule may be about it."""
    pack = replace(house.vision.packs["fake"], norm_quality=NormQuality(1, 20))
    house.vision.packs["fake"] = pack
    extraction = await house.extract.from_source(b"ann", pack, FaceSelection.EXACTLY_ONE, "photograph")
    (extracted,) = extraction.faces
    assert extracted.face is not None
    assert [one.measure for one in extracted.face.quality] == ["inter_eye_distance", "template_norm"]
    assert extracted.face.quality[1].value == extracted.template.norm
    await _create(house, QualityRule("template_norm", minimum=extracted.template.norm + 0.001))
    with pytest.raises(QualityTooLow, match="template_norm"):
        await _enrol(house, b"ann")


async def test_a_measure_that_went_away_refuses(house: House) -> None:
    """No new face can be shown to keep the rule, so none is let in; a retry still gets its answer."""
    stated = replace(house.vision.packs["fake"], norm_quality=NormQuality(1, 20))
    house.vision.packs["fake"] = stated
    await _create(house, QualityRule("template_norm", minimum=0))
    await _enrol(house, b"ann", request_id="q")
    house.vision.packs["fake"] = replace(stated, norm_quality=None)
    with pytest.raises(QualityTooLow, match="template_norm was not measured"):
        await _enrol(house, b"ann#2")
    await _enrol(house, b"ann", request_id="q")
