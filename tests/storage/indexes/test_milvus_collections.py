"""What stands in Milvus: our collections with their labels, and other people's."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymilvus import DataType, MilvusClient

from facegrid.domain.errors import ConfigurationError, StoreUnavailable
from facegrid.domain.index_settings import IndexSettings, SearchMethod
from facegrid.domain.labels import Labels
from facegrid.storage.indexes.milvus import MilvusIndex
from facegrid.storage.indexes.milvus_collection import MilvusCollection
from facegrid.storage.indexes.milvus_connection import MilvusOptions
from index_rows import rows_of, subjects, unit_vectors

pytestmark = pytest.mark.integration
LABELS = [
    Labels({"country": "DE", "year": 1970, "ratio": 0.5, "vip": True}, ("a", "b")),
    Labels({"country": 'x"y\\z ü', "year": 2**53 + 1, "vip": False}, ("c",)),
    Labels(),
]


@pytest.fixture(params=["lite", "server"])
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MilvusIndex]:
    """Yield an index of each kind of Milvus."""
    lite = request.param == "lite"
    made = MilvusIndex(str(tmp_path / "milvus") if lite else request.getfixturevalue("milvus_uri"))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('labels["metadata"]["country"] == "DE"', {0}),
        ('labels["metadata"]["country"] == "x\\"y\\\\z ü"', {1}),
        ('(exists labels["metadata"]["year"]) and labels["metadata"]["year"] >= 1970.5', {1}),
        ('labels["metadata"]["year"] == 9007199254740993', {1}),
        ('labels["metadata"]["year"] == 9007199254740992', set()),
        ('labels["metadata"]["vip"] == true', {0}),
        ('not ((exists labels["metadata"]["vip"]) and labels["metadata"]["vip"] == true)', {1, 2}),
        ('json_contains(labels["sub_galleries"], "a")', {0}),
        ('json_contains_any(labels["sub_galleries"], ["a", "c"])', {0, 1}),
        ('not json_contains(labels["sub_galleries"], "c")', {0, 2}),
        ('subject_id in ["0", "2"] and not (exists labels["metadata"]["ratio"])', {2}),
    ],
)
async def test_labels_can_be_searched_by(index: MilvusIndex, expression: str, found: set[int]) -> None:
    """Both kinds of Milvus take these expressions in one sense, of rows that lack a label as well."""
    gallery, stored = uuid4().hex, rows_of(unit_vectors(3))
    await index.open(gallery, "v1", 16)
    for number, labels in enumerate(LABELS):
        await index.add(gallery, rows_of(stored.vectors, labels).take([number]))
    answer: Any = index._connection.call(
        lambda client: client.query(
            f"facegrid_{gallery}",
            filter=expression,
            output_fields=["subject_id", "labels"],
            consistency_level="Strong",
        )
    )
    assert {int(row["subject_id"]) for row in answer} == found
    for row in answer:
        labels = LABELS[int(row["subject_id"])]
        assert row["labels"] == {"metadata": labels.metadata, "sub_galleries": list(labels.sub_galleries)}


async def test_a_collection_that_was_released_is_loaded_by_the_next_check(milvus_uri: str) -> None:
    """Until then searches are unavailable, and Milvus is not taken for gone."""
    gallery, index = uuid4().hex, MilvusIndex(milvus_uri)
    await index.open(gallery, "v1", 16)
    await index.add(gallery, rows_of(unit_vectors(3)))
    index._connection.call(lambda client: client.release_collection(f"facegrid_{gallery}"))
    with pytest.raises(StoreUnavailable):
        await index.search(gallery, unit_vectors(1), 1)
    await index.check()
    (hits,) = await index.search(gallery, unit_vectors(1), 1)
    assert subjects(hits) == [0]
    index.close()


async def test_a_collection_that_somebody_dropped_is_told(milvus_uri: str) -> None:
    """The check names it and says how it comes back."""
    gallery, index = uuid4().hex, MilvusIndex(milvus_uri)
    await index.open(gallery, "v1", 16)
    index._connection.call(
        lambda client: MilvusCollection(client, f"facegrid_{gallery}", MilvusOptions()).drop()
    )
    with pytest.raises(ConfigurationError, match=f"facegrid_{gallery}.*start the server again"):
        await index.check()
    index.close()


def foreign_schema(case: str) -> Any:
    """Return our schema with something else about it."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=160)
    schema.add_field("subject_id", DataType.VARCHAR, max_length=128)
    schema.add_field("encounter_id", DataType.VARCHAR, max_length=128)
    schema.add_field("sample", DataType.INT64 if case == "type" else DataType.INT32)
    if case != "missing":
        schema.add_field("labels", DataType.JSON)
    if case == "more":
        schema.add_field("tenant", DataType.INT32)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=8 if case == "dimension" else 16)
    return schema


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("missing", "no field labels"),
        ("type", "another type of field sample"),
        ("more", "the field tenant"),
        ("dimension", "other than 16 numbers"),
        ("metric", "the metric L2"),
        ("kind", "an index FLAT in place of IVF_SQ8"),
    ],
)
async def test_a_collection_that_is_not_ours_is_named_and_left_alone(
    milvus_uri: str, case: str, words: str
) -> None:
    """The operator learns which collection to drop; it keeps its index, and no alias leads to it."""
    gallery, index = uuid4().hex, MilvusIndex(milvus_uri)
    await index.open(gallery, "v1", 16)
    client = MilvusClient(milvus_uri, dedicated=True)
    name = client.describe_alias(f"facegrid_{gallery}")["collection_name"]
    await index.drop(gallery)
    client.create_collection(name, schema=foreign_schema(case))
    vectors = client.prepare_index_params()
    vectors.add_index("vector", index_type="FLAT", metric_type="L2" if case == "metric" else "IP")
    client.create_index(name, vectors)
    settings = IndexSettings(SearchMethod.APPROXIMATE, 1) if case == "kind" else IndexSettings()
    with pytest.raises(ConfigurationError, match=words) as caught:
        await index.open(gallery, "v1", 16, settings)
    assert name in str(caught.value)
    assert client.describe_index(name, "vector")["index_type"] == "FLAT"
    assert not client.has_collection(f"facegrid_{gallery}")
    client.drop_collection(name)
    client.close()
    index.close()
