"""Restrictions in Milvus: what it finds is what the reference semantics says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facegrid.domain.filters import AllOf, AnyOf, Equals, Filter, NoneOf, OneOf, Restriction
from facegrid.domain.labels import Labels
from facegrid.storage.indexes.expressions import expression, labels_document
from labelled import FILTERS, LABELS

pytestmark = pytest.mark.integration
VECTOR = [1.0, 0.0]
ROWS = 120


class Collection:
    """A collection of rows with labels of every kind."""

    def __init__(self, client: Any) -> None:
        """Fill it."""
        from pymilvus import DataType  # noqa: PLC0415  # takes seconds

        self._client, self._name = client, f"c{uuid4().hex}"
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", DataType.INT64, is_primary=True)
        schema.add_field("subject_id", DataType.VARCHAR, max_length=128)
        schema.add_field("labels", DataType.JSON)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
        client.create_collection(self._name, schema=schema)
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="IP")
        client.create_index(self._name, index)
        client.load_collection(self._name)
        self.labels = [Labels(), *samples()]
        client.upsert(
            self._name,
            [
                {
                    "key": number,
                    "subject_id": f"s{number % 7}",
                    "labels": labels_document(labels),
                    "vector": VECTOR,
                }
                for number, labels in enumerate(self.labels)
            ],
        )
        self.find("key >= 0", consistency_level="Strong")

    def find(self, condition: str, **options: object) -> set[int]:
        """Return the keys of the rows that a search finds."""
        (hits,) = self._client.search(
            self._name,
            data=[VECTOR],
            anns_field="vector",
            limit=ROWS,
            filter=condition,
            output_fields=["key"],
            search_params={"metric_type": "IP"},
            timeout=30,
            **options,
        )
        return {hit["entity"]["key"] for hit in hits}

    def check(self, restriction: Restriction) -> None:
        """Hold what a search finds against the reference."""
        expected = {
            number
            for number, labels in enumerate(self.labels)
            if restriction.allows(f"s{number % 7}", labels)
        }
        assert self.find(expression(restriction)) == expected


def samples() -> list[Labels]:
    """Return random labels, the same every time."""
    found: list[Labels] = []

    @settings(max_examples=ROWS - 1, database=None, derandomize=True)
    @given(LABELS)
    def collect(labels: Labels) -> None:
        found.append(labels)

    collect()
    return found


@pytest.fixture(scope="module", params=["lite", "server"])
def collection(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Collection]:
    """Make a collection in Milvus Lite and in a Milvus server."""
    from pymilvus import MilvusClient  # noqa: PLC0415  # takes seconds

    folder: Path = tmp_path_factory.mktemp("lite")
    client = MilvusClient(
        str(folder / "lite.db") if request.param == "lite" else request.getfixturevalue("milvus_uri"),
        timeout=30,
    )
    yield Collection(client)
    client.close()
    if request.param == "lite":
        from milvus_lite.server_manager import server_manager_instance  # noqa: PLC0415

        server_manager_instance.release_server(str(folder / "lite.db"))


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wanted=FILTERS,
    included=st.none() | st.frozensets(st.sampled_from(["s0", "s3", "s9"]), min_size=1),
    excluded=st.frozensets(st.sampled_from(["s0", "s1"])),
)
def test_what_milvus_finds_is_what_is_meant(
    collection: Collection, wanted: Filter, included: frozenset[str] | None, excluded: frozenset[str]
) -> None:
    """Filters of every shape, over values of every type, quotes and brackets among them."""
    collection.check(Restriction(wanted, included, excluded))


def test_restrictions_at_their_limits(collection: Collection) -> None:
    """10,000 subjects, 64 parts, 256 values and a depth of 6 are within what Milvus takes."""
    many = OneOf("country", tuple(f"{number}" for number in range(256)))
    deep: Filter = many
    for _ in range(5):
        deep = NoneOf((*[Equals("born", 1980)] * 5, deep, *[Equals("born", 1)] * 5))
    collection.check(Restriction(deep, frozenset({"s0", "s1"}), frozenset({"s1"})))
    collection.check(Restriction(AnyOf(tuple(Equals("born", number) for number in range(63)))))
    collection.check(Restriction(AllOf((many,) * 32)))
    collection.check(Restriction(None, frozenset(f"s{number}" for number in range(10_000))))


def test_no_restriction_is_no_expression() -> None:
    """A search of all asks for nothing."""
    assert expression(Restriction()) == ""
