"""Restricted searches: every index finds what the reference semantics allows, and nothing else."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facegrid.domain.filters import AllOf, AnyOf, Equals, Filter, InSubGallery, NoneOf, OneOf, Restriction
from facegrid.domain.galleries import IndexRows
from facegrid.domain.labels import Labels
from facegrid.domain.matching import best_per_subject
from facegrid.identity.ports import Index
from facegrid.storage.indexes.expressions import expression
from facegrid.storage.indexes.milvus import MilvusIndex
from facegrid.storage.indexes.resident import ResidentIndex
from labelled import FILTERS, random_labels

DIMENSION, ROWS = 16, 120


@dataclass
class Filled:
    """An index with a gallery of rows with labels of every kind, of seven subjects."""

    index: Index
    gallery: str
    rows: IndexRows

    async def check(self, restriction: Restriction) -> None:
        """Hold what a search finds against the reference."""
        (hits,) = await self.index.search(
            self.gallery, self.rows.vectors[:1], 2 * ROWS, restriction=restriction
        )
        assert sorted(hit.encounter_id for hit in hits) == sorted(
            encounter
            for subject, encounter, labels in zip(
                self.rows.subject_ids, self.rows.encounter_ids, self.rows.labels, strict=True
            )
            if restriction.allows(subject, labels)
        )


def make_rows() -> IndexRows:
    """Return a row for each of the labels."""
    labels = random_labels(ROWS)
    vectors = np.random.default_rng(0).standard_normal((len(labels), DIMENSION)).astype(np.float32)
    return IndexRows(
        [f"s{number % 7}" for number in range(len(labels))],
        [f"e{number}" for number in range(len(labels))],
        [0] * len(labels),
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        labels,
    )


@pytest.fixture(
    scope="module",
    params=[
        "resident",
        pytest.param("milvus-lite", marks=pytest.mark.integration),
        pytest.param("milvus-server", marks=pytest.mark.integration),
    ],
)
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """Fill an index of each kind."""
    folder: Path = tmp_path_factory.mktemp("index")
    make: dict[str, Any] = {
        "resident": lambda: ResidentIndex(2),
        "milvus-lite": lambda: MilvusIndex(str(folder / "milvus")),
        "milvus-server": lambda: MilvusIndex(request.getfixturevalue("milvus_uri")),
    }
    made = Filled(make[request.param](), uuid4().hex, make_rows())

    async def fill() -> None:
        await made.index.open(made.gallery, "v1", DIMENSION)
        await made.index.add(made.gallery, made.rows)

    asyncio.run(fill())
    yield made
    made.index.close()


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wanted=FILTERS,
    included=st.none() | st.frozensets(st.sampled_from(["s0", "s3", "s9"]), min_size=1),
    excluded=st.frozensets(st.sampled_from(["s0", "s1"])),
)
async def test_what_is_found_is_what_is_meant(
    filled: Filled, wanted: Filter, included: frozenset[str] | None, excluded: frozenset[str]
) -> None:
    """Filters of every shape, over values of every type, quotes and brackets among them."""
    await filled.check(Restriction(wanted, included, excluded))


async def test_restrictions_at_their_limits(filled: Filled) -> None:
    """10,000 subjects, 64 parts, 256 values and a depth of 6 are within what an index takes."""
    many = OneOf("country", tuple(f"{number}" for number in range(256)))
    deep: Filter = many
    for _ in range(5):
        deep = NoneOf((*[Equals("born", 1980)] * 5, deep, *[Equals("born", 1)] * 5))
    await filled.check(Restriction(deep, frozenset({"s0", "s1"}), frozenset({"s1"})))
    await filled.check(Restriction(AnyOf(tuple(Equals("born", number) for number in range(63)))))
    await filled.check(Restriction(AllOf((many,) * 32)))
    await filled.check(Restriction(None, frozenset(f"s{number}" for number in range(10_000))))


async def test_labels_that_change_are_searched_by_at_once(filled: Filled) -> None:
    """A row that is written again is found by its new labels and no longer by the old ones."""
    gallery, index = uuid4().hex, filled.index
    await index.open(gallery, "v1", DIMENSION)
    row = filled.rows.take([0])
    for place, name in enumerate(("north", "south", "north")):
        labelled = IndexRows(
            row.subject_ids, row.encounter_ids, row.samples, row.vectors, [Labels({}, (name,))]
        )
        await index.add(gallery, labelled)
        for wanted in ("north", "south"):
            (hits,) = await index.search(
                gallery, row.vectors, 9, restriction=Restriction(InSubGallery((wanted,)))
            )
            assert len(hits) == (wanted == name), place


async def test_fifty_rows_of_a_subject_leave_room_for_others(filled: Filled) -> None:
    """The limit counts rows that are allowed: those that are not do not use it up."""
    gallery, index = uuid4().hex, filled.index
    near = np.repeat(filled.rows.vectors[:1], 101, axis=0)
    near[100] = filled.rows.vectors[1]
    rows = IndexRows(
        ["ann"] * 50 + ["bob"] * 50 + ["eve"],
        [f"e{number}" for number in range(101)],
        [0] * 101,
        near,
        [Labels({"n": number}) for number in range(101)],
    )
    await index.open(gallery, "v1", DIMENSION)
    await index.add(gallery, rows)
    restriction = Restriction(excluded=frozenset({"ann"}))
    (hits,) = await index.search(gallery, near[:1], 51, restriction=restriction)
    assert [hit.subject_id for hit in best_per_subject(hits)] == ["bob", "eve"]


def test_no_restriction_is_no_expression() -> None:
    """A search of all asks Milvus for nothing more."""
    assert expression(Restriction()) == ""
