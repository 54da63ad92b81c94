"""Quality rules: which a gallery may have, and what a face breaks."""

import math

import numpy as np
import pytest

from facegrid.domain.errors import InvalidField, QualityTooLow
from facegrid.domain.faces import Box, DetectedFace, QualityMeasure
from facegrid.domain.packs import NormQuality, Pack
from facegrid.domain.quality import QualityRule, check_quality, check_quality_rules, template_norm_measures
from fakes import fake_pack

GOOD = QualityRule("sharpness", minimum=0.1)


def pack(norm_quality: NormQuality | None = None) -> Pack:
    """Return a pack that says this of its norms."""
    plain = fake_pack("fake", "fake-1")
    return Pack(
        plain.name, plain.template_version, plain.dimension, plain.alignment, plain.thresholds, norm_quality
    )


def face(**values: float) -> DetectedFace:
    """Return a face of these native values."""
    quality = tuple(QualityMeasure(name, value, 50.0, "test") for name, value in values.items())
    return DetectedFace(Box(0, 0, 90, 90), np.zeros((5, 2), np.float32), 0.9, quality)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (QualityRule("beauty", minimum=1), "'beauty'; the pack's measures are inter_eye_distance, "),
        (QualityRule("x" * 500, minimum=1), "'xxxxxxxx"),
        (QualityRule("template_norm", minimum=1), "'template_norm'; the pack's measures are"),
        (QualityRule("sharpness", maximum=1), "is the second about sharpness"),
        (QualityRule("yaw"), "set minimum, maximum or both"),
        (QualityRule("yaw", minimum=math.nan), "not finite"),
        (QualityRule("yaw", minimum=1, maximum=math.inf), "not finite"),
        (QualityRule("yaw", minimum=20, maximum=-20), "minimum 20 above maximum -20"),
    ],
)
def test_a_rule_that_makes_no_sense_is_named(rule: QualityRule, words: str) -> None:
    """The error has the rule's place and says what to do, in a sentence of bounded length."""
    with pytest.raises(InvalidField) as caught:
        check_quality_rules([GOOD, rule], pack())
    assert caught.value.field == "quality_rules[1]"
    assert caught.value.message.startswith("quality_rules[1] ")
    assert words in caught.value.message
    assert len(caught.value.message) < 400


def test_rules_may_be_exact_and_about_a_norm_that_tells_quality() -> None:
    """Equal limits are a rule, and a pack that states its norms has one more measure."""
    rules = [QualityRule("roll", 0, 0), QualityRule("template_norm", minimum=12)]
    assert check_quality_rules(rules, pack(NormQuality(7, 17))) == tuple(rules)


@pytest.mark.parametrize("value", [-20, 0, 20])
def test_a_value_on_a_limit_keeps_the_rule(value: float) -> None:
    """Limits belong to what is allowed; a gallery without rules takes everything, a template too."""
    check_quality(face(yaw=value), [QualityRule("yaw", -20, 20)], "samples[0]")
    check_quality(face(), [], "samples[0]")
    check_quality(None, [], "samples[0]")


def test_all_that_is_broken_is_named() -> None:
    """The sentence has each broken measure with value, limits and remedy; programs get the same figures."""
    rules = [
        QualityRule("inter_eye_distance", minimum=60),
        QualityRule("yaw", -20, 20),
        QualityRule("roll", maximum=10),
        QualityRule("contrast", minimum=0.1),
    ]
    with pytest.raises(QualityTooLow) as caught:
        check_quality(face(inter_eye_distance=36.25, yaw=31, roll=1), rules, "samples[2]")
    assert caught.value.field == "samples[2]"
    assert "inter_eye_distance is 36.25 px, minimum 60 px: take it from nearer" in caught.value.message
    assert "yaw is 31°, minimum -20° and maximum 20°: let the person face the camera" in caught.value.message
    assert "roll" not in caught.value.message
    assert caught.value.metadata == {
        "measures": "inter_eye_distance,yaw,contrast",
        "inter_eye_distance_value": "36.25",
        "inter_eye_distance_minimum": "60",
        "yaw_value": "31",
        "yaw_minimum": "-20",
        "yaw_maximum": "20",
        "contrast_value": "nan",
        "contrast_minimum": "0.1",
    }


def test_a_template_keeps_no_rule() -> None:
    """What cannot be measured is refused, and the error asks for the photograph."""
    with pytest.raises(QualityTooLow, match="send the photograph") as caught:
        check_quality(None, [GOOD], "samples[0]")
    assert caught.value.metadata == {}


@pytest.mark.parametrize(("norm", "component"), [(5, 0), (7, 0), (12, 50), (17, 100), (21, 100)])
def test_a_norm_is_worth_its_place_between_those_that_the_pack_states(norm: float, component: float) -> None:
    """The native value is the norm; a pack that states none has no such measure."""
    (measure,) = template_norm_measures(norm, pack(NormQuality(7, 17)))
    assert (measure.measure, measure.value, measure.component) == ("template_norm", norm, component)
    assert template_norm_measures(norm, pack()) == ()
