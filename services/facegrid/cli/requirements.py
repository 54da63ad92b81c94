"""Quality rules as comparisons: `inter_eye_distance>=60`, `-20<=yaw<=20`."""

import re
from collections import defaultdict

import typer

from facegrid.v1 import types_pb2 as pb

_NUMBER = r"[-+]?[0-9]*\.?[0-9]+"
_COMPARISON = re.compile(
    rf"(?:(?P<low>{_NUMBER})<=)?(?P<name>[a-z_]+)<=(?P<high>{_NUMBER})"
    rf"|(?P<lowest>{_NUMBER})<=(?P<right>[a-z_]+)|(?P<left>[a-z_]+)>=(?P<least>{_NUMBER})"
)


def parse_requirements(comparisons: list[str]) -> list[pb.QualityRule]:
    """Return one rule for each measure that is compared. Raises typer.BadParameter."""
    rules: dict[str, dict[str, float]] = defaultdict(dict)
    for comparison in comparisons:
        measure, limits = _parse(comparison)
        if limits.keys() & rules[measure].keys():
            raise typer.BadParameter(f"--require {comparison!r} says again what {measure} has to be")
        rules[measure] |= limits
    return [pb.QualityRule(measure=measure, **limits) for measure, limits in rules.items()]


def _parse(comparison: str) -> tuple[str, dict[str, float]]:
    found = _COMPARISON.fullmatch(comparison.replace(" ", ""))
    if not found:
        raise typer.BadParameter(f"--require {comparison!r}: write 'sharpness>=0.1' or '-20<=yaw<=20'")
    limits = {"minimum": found["low"] or found["lowest"] or found["least"], "maximum": found["high"]}
    measure = found["name"] or found["left"] or found["right"]
    return measure, {name: float(limit) for name, limit in limits.items() if limit}


def show_requirement(rule: pb.QualityRule) -> str:
    """Return a rule as the comparison that makes it."""
    if not rule.HasField("maximum"):
        return f"{rule.measure}>={rule.minimum:g}"
    low = f"{rule.minimum:g}<=" if rule.HasField("minimum") else ""
    return f"{low}{rule.measure}<={rule.maximum:g}"
