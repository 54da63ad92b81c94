"""Quality rules as a user writes and meets them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import Result

from facegrid.cli.requirements import parse_requirements, show_requirement

Run = Callable[..., Result]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (["inter_eye_distance>=60"], ["inter_eye_distance>=60"]),
        (["60 <= inter_eye_distance"], ["inter_eye_distance>=60"]),
        (["yaw<=20"], ["yaw<=20"]),
        (["-20<=yaw<=20"], ["-20<=yaw<=20"]),
        (["yaw<=20", "sharpness>=.1", "yaw >= -20.5"], ["-20.5<=yaw<=20", "sharpness>=0.1"]),
    ],
)
def test_rules_are_comparisons(written: list[str], shown: list[str]) -> None:
    """Two comparisons of a measure are one rule, and what is shown can be written again."""
    rules = parse_requirements(written)
    assert [show_requirement(rule) for rule in rules] == shown
    assert parse_requirements(shown) == rules


@pytest.mark.parametrize(
    "written",
    [["yaw"], ["yaw<20"], ["yaw=20"], ["yaw<=x"], ["20<=yaw>=30"], [""], ["yaw<=20", "yaw<=30"], ["20>=yaw"]],
)
def test_what_is_no_rule_is_a_wrong_command_line(written: list[str]) -> None:
    """The sentence repeats what was written."""
    with pytest.raises(typer.BadParameter) as caught:
        parse_requirements(written)
    assert repr(written[-1]) in caught.value.message


def test_a_gallery_refuses_by_its_rules(run: Run, people: Path) -> None:
    """Rejections are named with value and limit, and counted by measure; what keeps the rules goes in."""
    run("gallery", "create", "g", "--require", "inter_eye_distance>=40", "--require", "-15<=yaw<=15")
    rules = ["inter_eye_distance>=40", "-15<=yaw<=15"]
    assert json.loads(run("gallery", "show", "g", "--json").stdout)["quality_rules"] == rules
    assert all(rule in run("gallery", "show", "g").stdout for rule in rules)
    result = run("enroll", "--gallery", "g", people, code=1)
    assert "enrolled 1, already there 0, failed 1" in result.stdout
    assert "quality rules broken: inter_eye_distance 1, yaw 1" in result.stdout
    assert "tom/one.png: the photograph does not keep the gallery's rules: inter_eye_dist" in result.stderr
    assert "(QUALITY_TOO_LOW)" in result.stderr


def test_a_rule_that_the_server_does_not_take_is_named(run: Run) -> None:
    """A misspelt measure names those there are; a wrong comparison ends with 2."""
    refused = run("gallery", "create", "g", "--require", "eyes>=40", code=1).stderr
    assert "quality_rules[0] is about 'eyes'; the pack's measures are inter_eye_distance" in refused
    assert "yaw=4" in run("gallery", "create", "g", "--require", "yaw=4", code=2).stderr
