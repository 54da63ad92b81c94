"""Labels at the command line: noted, shown, changed, and searched by."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import Result

from facegrid.cli.labels import parse_filter, parse_metadata
from facegrid.v1.filter_pb2 import Filter, Filters, Membership, Range, SubGalleries
from facegrid.v1.types_pb2 import Value

Run = Callable[..., Result]


def line(result: Result) -> Any:
    """Return the only line of JSON."""
    return json.loads(result.stdout)


def one_of(*values: Value) -> Filter:
    """Return a condition on the key "a"."""
    return Filter(one_of=Membership(key="a", values=values))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("a=DE", one_of(Value(text="DE"))),
        ("a=", one_of(Value(text=""))),
        ("a=7", one_of(Value(integer=7))),
        ("a=-7.5", one_of(Value(number=-7.5))),
        ("a=false", one_of(Value(flag=False))),
        ('a="7"', one_of(Value(text="7"))),
        ('a=7,"x, y",true', one_of(Value(integer=7), Value(text="x, y"), Value(flag=True))),
        ("a=2024-01-31", one_of(Value(text="2024-01-31"))),
        ("a!=b=c", Filter(none_of=Filters(filters=[one_of(Value(text="b=c"))]))),
        ("a>=1980", Filter(range=Range(key="a", minimum=Value(integer=1980)))),
        ("a<=M", Filter(range=Range(key="a", maximum=Value(text="M")))),
    ],
)
def test_conditions_become_filters(condition: str, expected: Filter) -> None:
    """Signs and types are as the help says."""
    assert parse_filter([condition], []) == expected


def test_several_conditions_must_all_hold() -> None:
    """They are joined with the sub-galleries, of which one will do."""
    joined = parse_filter(["a=1", "a=2"], ["north", "south"])
    assert joined is not None
    assert list(joined.all_of.filters) == [
        one_of(Value(integer=1)),
        one_of(Value(integer=2)),
        Filter(sub_galleries=SubGalleries(names=["north", "south"])),
    ]
    assert parse_filter([], []) is None


@pytest.mark.parametrize("condition", ["a", "=1", "a>1", "a b=1", "a>=1,2", 'a="1'])
def test_conditions_that_are_none_are_refused(condition: str) -> None:
    """The message says how one is written."""
    with pytest.raises(typer.BadParameter):
        parse_filter([condition], [])


@pytest.mark.parametrize("entries", [["a"], ["a=1", "a=2"]])
def test_metadata_that_is_none_is_refused(entries: list[str]) -> None:
    """Each entry has a key of its own."""
    with pytest.raises(typer.BadParameter):
        parse_metadata(entries)


def test_labels_from_enrolment_to_search(run: Run, people: Path) -> None:
    """What enrol notes is shown, filters searches, and can be changed; an inactive subject is not found."""
    g, photograph = ("--gallery", "g"), people / "eileen" / "one.png"
    run("gallery", "create", "g")
    labels = ("--metadata", "born=1956", "--metadata", "country=US", "--sub-gallery", "pilots")
    run("enroll", *g, *labels, people)

    def found(*options: str) -> list[str]:
        answer = line(run("identify", *g, "--json", *options, photograph))
        return [one["subject"] for one in answer["faces"][0]["candidates"]]

    assert found("--filter", "born>=1950", "--filter", "country=DE,US") == ["eileen"]
    assert found("--filter", "born>=1960") == []
    assert found("--sub-gallery", "pilots", "--subject", "eileen", "--subject", "tom") == ["eileen"]
    assert found("--subject", "tom") == []
    unknown = run("identify", *g, "--subject", "tom", "--subject", "nobody", photograph, code=1)
    assert "nobody" in unknown.stderr

    shown = line(run("subject", "show", "eileen", *g, "--json"))
    (encounter,) = shown["encounters"]
    assert (shown["status"], encounter["status"]) == ("active", "active")
    assert encounter["metadata"] == {"born": 1956, "country": "US"}
    assert encounter["sub_galleries"] == ["pilots"]
    assert "born=1956" in run("subject", "show", "eileen", *g).stdout

    which = ("--encounter", encounter["encounter"])
    run("subject", "update", "eileen", *g, *which, "--metadata", "country=FR")
    assert found("--filter", "country=FR", "--sub-gallery", "pilots") == ["eileen"]
    run("subject", "update", "eileen", *g, "--status", "inactive")
    assert found() == []
    assert "inactive" in run("subject", "show", "eileen", *g).stdout
    run("subject", "update", "eileen", *g, code=2)
    run("subject", "update", "eileen", *g, "--metadata", "a=1", code=2)


def test_a_subject_is_searched_for_in_several_galleries(run: Run, people: Path) -> None:
    """It is no candidate itself, and each candidate names its gallery."""
    for name in ("g", "h"):
        run("gallery", "create", name)
        run("enroll", "--gallery", name, people)
    both = ("--gallery", "g", "--gallery", "h", "--probe-subject", "tom")
    answer = line(run("identify", *both, "--json"))
    assert answer["probe_subject"] == "tom"
    assert answer["candidates"] == [{"gallery": "h", "subject": "tom", "score": 1.0}]
    assert "h/tom 1.000" in run("identify", *both).stdout
    run("identify", "--gallery", "g", code=2)
    run("identify", *both, people / "tom" / "one.png", code=2)
