"""What stands in Milvus: our collections, and other people's."""

from typing import Any
from uuid import uuid4

import pytest
from pymilvus import DataType, MilvusClient

from facegrid.domain.errors import ConfigurationError, StoreUnavailable
from facegrid.domain.index_settings import IndexSettings, SearchMethod
from facegrid.storage.indexes.milvus import MilvusIndex
from facegrid.storage.indexes.milvus_collection import MilvusCollection
from facegrid.storage.indexes.milvus_connection import MilvusOptions
from index_rows import rows_of, subjects, unit_vectors

pytestmark = pytest.mark.integration


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
