"""Filters: what they mean, and which are refused."""

import pytest

from facegrid.domain.errors import InvalidField
from facegrid.domain.filters import (
    AllOf,
    AnyOf,
    Between,
    Equals,
    Filter,
    InSubGallery,
    NoneOf,
    OneOf,
    Restriction,
    check_filter,
    matches,
)
from facegrid.domain.labels import NO_LABELS, Labels

LABELS = Labels({"country": "DE", "born": 1980, "height": 1.75, "visa": True}, ("north",))


@pytest.mark.parametrize(
    "wanted",
    [
        Equals("country", "DE"),
        OneOf("country", ("FR", "DE")),
        Between("born", 1980, 1980),
        Between("height", maximum=1.75),
        Between("country", minimum="D"),
        InSubGallery(("south", "north")),
        AllOf((Equals("visa", value=True), NoneOf((Equals("visa", value=False),)))),
        AnyOf((Equals("country", "FR"), Equals("born", 1980))),
        NoneOf((Equals("absent", 1), Between("absent", 1))),
    ],
)
def test_filters_that_hold(wanted: Filter) -> None:
    """Each kind holds where its words say so, and its negation does not."""
    assert matches(wanted, LABELS)
    assert not matches(NoneOf((wanted,)), LABELS)


@pytest.mark.parametrize(
    "wanted",
    [
        Equals("born", 1980.0),
        Equals("born", "1980"),
        Equals("visa", 1),
        OneOf("visa", (1, 1.0, "true")),
        Between("born", 1900.0, 2000.0),
        Between("height", 1, 2),
        Between("visa", 0, 1),
        Between("absent", 1),
        Equals("absent", 0),
        InSubGallery(("south",)),
    ],
)
def test_a_missing_key_or_another_type_never_holds(wanted: Filter) -> None:
    """What has two types is not equal and in no range."""
    assert not matches(wanted, LABELS)


def nested(depth: int) -> Filter:
    """Return a filter of a depth."""
    return Equals("a", 1) if depth == 1 else AllOf((nested(depth - 1),))


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (AllOf(()), "filter.all_of.filters"),
        (AnyOf((Equals("", 1),)), "filter.any_of.filters[0].equals.key"),
        (Equals("a", float("nan")), "filter.equals.value"),
        (Equals("a", 2**63), "filter.equals.value"),
        (Equals("a", "line\nbreak"), "filter.equals.value"),
        (OneOf("a", (1, float("inf"))), "filter.one_of.values[1]"),
        (OneOf("a", ()), "filter.one_of.values"),
        (OneOf("a", tuple(range(257))), "filter.one_of.values"),
        (Between("a"), "filter.range"),
        (Between("a", 1, 2.0), "filter.range"),
        (Between("a", minimum=True), "filter.range"),
        (Between("a b", 1), "filter.range.key"),
        (InSubGallery(("north", "../x")), "filter.sub_galleries.names[1]"),
        (nested(7), ".".join(["filter", *["all_of.filters[0]"] * 6, "equals"])),
        (AllOf((nested(2),) * 32), "filter.all_of.filters[31].all_of.filters[0].equals"),
    ],
)
def test_filters_that_are_refused(wanted: Filter, field: str) -> None:
    """The error names the place of what is wrong or too much."""
    with pytest.raises(InvalidField) as caught:
        check_filter(wanted, "filter")
    assert caught.value.field == field


@pytest.mark.parametrize("wanted", [nested(6), AllOf((nested(2),) * 31), OneOf("a", tuple(range(256)))])
def test_filters_at_the_limits_are_taken(wanted: Filter) -> None:
    """6 deep, 64 parts and 256 values are allowed."""
    assert check_filter(wanted, "filter") is wanted


def test_a_restriction_holds_all_that_it_names() -> None:
    """Subjects, those left out, and the filter count together."""
    restriction = Restriction(Equals("country", "DE"), frozenset({"ann", "bob"}), frozenset({"bob"}))
    assert restriction.allows("ann", LABELS)
    assert not restriction.allows("ann", NO_LABELS)
    assert not restriction.allows("bob", LABELS)
    assert not restriction.allows("eve", LABELS)
