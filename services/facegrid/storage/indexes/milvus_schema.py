"""What a collection in Milvus holds, and the requests that write it."""

import json
from typing import Any

from facegrid.domain.errors import ConfigurationError
from facegrid.domain.galleries import IndexRows
from facegrid.domain.labels import NO_LABELS, Labels

_LONGEST_NAME, _LONGEST_KEY = 128, 160
_METRIC = "IP"
# The lists of a segment that is full: some 4 √N for the 250,000 rows of 512 numbers in 512 MB. Milvus makes
# fewer in a segment with less than 39 rows a list.
_NLIST = 1024


def make_schema(dimension: int) -> Any:
    """Return the schema of a gallery's collection."""
    from pymilvus import DataType, MilvusClient  # noqa: PLC0415  takes seconds

    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=_LONGEST_KEY)
    schema.add_field("subject_id", DataType.VARCHAR, max_length=_LONGEST_NAME)
    schema.add_field("encounter_id", DataType.VARCHAR, max_length=_LONGEST_NAME)
    schema.add_field("sample", DataType.INT32)
    schema.add_field("labels", DataType.JSON)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
    return schema


def make_index(client: Any, *, exact: bool) -> Any:
    """Return the parameters of the index of vectors: FLAT, or IVF_SQ8.

    Milvus 2.3.5 builds the latter by itself for each segment that is sealed, again where it merges some,
    and compares every row of those that still grow.
    """
    index = client.prepare_index_params()
    lists = {} if exact else {"nlist": _NLIST}
    index.add_index("vector", index_type=_kind(exact=exact), metric_type=_METRIC, params=lists)
    return index


def check_collection(described: Any, dimension: int) -> None:
    """Raise ConfigurationError where a collection that is there has another schema than ours."""
    found = {one["name"]: one for one in described["fields"]}
    for wanted in make_schema(dimension).fields:
        field = found.pop(wanted.name, None)
        if field is None:
            raise _foreign(described["collection_name"], f"has no field {wanted.name}")
        if field["type"] != wanted.dtype:
            raise _foreign(described["collection_name"], f"has another type of field {wanted.name}")
        if wanted.name == "vector" and int(field["params"]["dim"]) != dimension:
            raise _foreign(described["collection_name"], f"holds vectors of other than {dimension} numbers")
    if found:
        raise _foreign(described["collection_name"], f"has the field {min(found)}, which is not ours")


def check_vector_index(collection: str, described: Any, *, exact: bool) -> None:
    """Raise ConfigurationError where a collection's vectors are compared or indexed otherwise than ours."""
    if described["metric_type"] != _METRIC:
        raise _foreign(collection, f"has the metric {described['metric_type']} in place of {_METRIC}")
    if described["index_type"] != _kind(exact=exact):
        raise _foreign(collection, f"has an index {described['index_type']} in place of {_kind(exact=exact)}")


def upsert_request(name: str, rows: IndexRows) -> Any:
    """Return the request that writes rows, column by column: pymilvus' own takes as long as Milvus does."""
    from pymilvus import DataType  # noqa: PLC0415  takes seconds
    from pymilvus.grpc_gen import milvus_pb2, schema_pb2  # noqa: PLC0415

    def texts(name: str, values: list[str]) -> Any:
        column = schema_pb2.ScalarField(string_data=schema_pb2.StringArray(data=values))
        return schema_pb2.FieldData(field_name=name, type=DataType.VARCHAR, scalars=column)

    # Numbers that are packed have the wire form of bytes: so they need not become Python's one by one.
    raw = schema_pb2.JSONArray(data=[rows.vectors.astype("<f4").tobytes()]).SerializeToString()
    vectors = schema_pb2.VectorField(
        dim=rows.vectors.shape[1], float_vector=schema_pb2.FloatArray.FromString(raw)
    )
    samples = schema_pb2.ScalarField(int_data=schema_pb2.IntArray(data=rows.samples))
    labels = schema_pb2.ScalarField(json_data=schema_pb2.JSONArray(data=list(map(_to_json, rows.labels))))
    return milvus_pb2.UpsertRequest(
        collection_name=name,
        num_rows=len(rows),
        fields_data=[
            texts("key", rows.keys),
            texts("subject_id", list(rows.subject_ids)),
            texts("encounter_id", list(rows.encounter_ids)),
            schema_pb2.FieldData(field_name="sample", type=DataType.INT32, scalars=samples),
            schema_pb2.FieldData(field_name="labels", type=DataType.JSON, scalars=labels),
            schema_pb2.FieldData(field_name="vector", type=DataType.FLOAT_VECTOR, vectors=vectors),
        ],
    )


def _kind(*, exact: bool) -> str:
    return "FLAT" if exact else "IVF_SQ8"


def _to_json(labels: Labels) -> bytes:
    if labels is NO_LABELS:
        return b'{"metadata": {}, "sub_galleries": []}'
    form = {"metadata": dict(labels.metadata), "sub_galleries": labels.sub_galleries}
    return json.dumps(form, ensure_ascii=False).encode()


def _foreign(collection: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"the collection {collection} in Milvus {what}; drop it, and it is filled again from the records"
    )
