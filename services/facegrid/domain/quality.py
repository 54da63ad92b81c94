"""What a gallery asks of the faces that are enrolled in it, and which of it a face does not keep."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from facegrid.domain.errors import InvalidField, QualityTooLow
from facegrid.domain.faces import DetectedFace, QualityMeasure
from facegrid.domain.packs import Pack

_NORM = "template_norm"
_ALGORITHM = "facegrid/1"
# Each measure's unit, and what to do about a value outside a rule's limits.
MEASURES: Mapping[str, tuple[str, str]] = {
    "inter_eye_distance": (" px", "take it from nearer or with more pixels"),
    "face_area_ratio": ("", "take it from nearer, or crop it to the person"),
    "face_in_frame": ("", "show the whole face"),
    "yaw": ("°", "let the person face the camera"),
    "roll": ("°", "keep head and camera upright"),
    "sharpness": ("", "focus on the face and hold still"),
    "contrast": ("", "let more light fall on the face, without haze or glare"),
    "luminance": ("", "light the face neither darkly nor glaringly"),
    "luminance_uniformity": ("", "light both sides of the face alike"),
    "under_exposure": ("", "light the face more"),
    "over_exposure": ("", "light the face less"),
    "detection_score": ("", "show the face from the front, uncovered"),
    "facegrid_quality": ("", "take it sharp, near, from the front and in even light"),
    _NORM: ("", "show the face sharp, uncovered and well lit"),
}


@dataclass(frozen=True, slots=True)
class QualityRule:
    """The lowest and the highest native value of a measure, in its unit; None is no limit."""

    measure: str
    minimum: float | None = None
    maximum: float | None = None

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set, by name."""
        named = {"minimum": self.minimum, "maximum": self.maximum}
        return {name: limit for name, limit in named.items() if limit is not None}

    def allows(self, value: float) -> bool:
        """Say whether a value keeps the limits; NaN keeps none."""
        lowest, highest = self.limits.get("minimum", -math.inf), self.limits.get("maximum", math.inf)
        return lowest <= value <= highest


def check_quality_rules(rules: Sequence[QualityRule], pack: Pack) -> tuple[QualityRule, ...]:
    """Return the rules for a gallery of the pack. Raises InvalidField that names the first wrong one."""
    known = [measure for measure in MEASURES if measure != _NORM or pack.norm_quality]
    for place, rule in enumerate(rules):
        earlier = [one.measure for one in rules[:place]]
        problems = (problem for problem, found in _problems(rule, earlier, known).items() if found)
        if problem := next(problems, ""):
            raise InvalidField(f"quality_rules[{place}] {problem}", field=f"quality_rules[{place}]")
    return tuple(rules)


def _problems(rule: QualityRule, earlier: Sequence[str], known: Sequence[str]) -> dict[str, bool]:
    limits = list(rule.limits.values())
    return {
        f"is about {rule.measure[:40]!r}; the pack's measures are {', '.join(known)}": (
            rule.measure not in known
        ),
        f"is the second about {rule.measure}; join the two": rule.measure in earlier,
        "has no limit; set minimum, maximum or both": not limits,
        "has a limit that is not finite; send a number": not all(map(math.isfinite, limits)),
        f"has minimum {rule.minimum} above maximum {rule.maximum}; exchange them": limits != sorted(limits),
    }


def check_quality(face: DetectedFace | None, rules: Sequence[QualityRule], field: str) -> None:
    """Hold a sample against a gallery's rules. Raises QualityTooLow that states all that it breaks.

    `face` is None where the sample came as a template. Nothing of it can be measured, so no rule is kept.
    """
    if rules and face is None:
        raise QualityTooLow(
            "the gallery has quality rules, and a template's quality cannot be measured; send the photograph",
            field=field,
        )
    values = {one.measure: one.value for one in face.quality} if face else {}
    broken = [(rule, value) for rule in rules if not rule.allows(value := values.get(rule.measure, math.nan))]
    if broken:
        sentences = "; ".join(_sentence(rule, value) for rule, value in broken)
        raise QualityTooLow(
            f"the photograph does not keep the gallery's rules: {sentences}",
            field=field,
            metadata=_metadata(broken),
        )


def _sentence(rule: QualityRule, value: float) -> str:
    unit, remedy = MEASURES[rule.measure]
    limits = " and ".join(f"{name} {limit:g}{unit}" for name, limit in rule.limits.items())
    found = "was not measured" if math.isnan(value) else f"is {value:g}{unit}"
    return f"{rule.measure} {found}, {limits}: {remedy}"


def _metadata(broken: Sequence[tuple[QualityRule, float]]) -> dict[str, str]:
    """Return the broken rules for programs: the measures, and the value and the limits of each."""
    stated = {"measures": ",".join(rule.measure for rule, _ in broken)}
    for rule, value in broken:
        numbers = {"value": value} | rule.limits
        stated |= {f"{rule.measure}_{name}": f"{number:g}" for name, number in numbers.items()}
    return stated


def template_norm_measures(norm: float, pack: Pack) -> tuple[QualityMeasure, ...]:
    """Return the norm of a template as a measure, where the pack says that it tells quality."""
    if pack.norm_quality is None:
        return ()
    low, high = pack.norm_quality.low, pack.norm_quality.high
    component = min(100.0, max(0.0, 100 * (norm - low) / (high - low)))
    return (QualityMeasure(_NORM, norm, component, _ALGORITHM),)
