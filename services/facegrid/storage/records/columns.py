"""The columns of a segment, made of buffers: pyarrow's own conversions import pandas, which takes long."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from facegrid.domain.faces import Floats

SCHEMA = pa.schema(
    [
        pa.field("id", pa.binary(16), nullable=False),  # of the encounter, or a tombstone's name
        pa.field("sid", pa.binary(16)),  # null where nothing is left but the memory of a deletion
        pa.field("subject_id", pa.string()),
        pa.field("revision", pa.int64()),
        pa.field("labels", pa.string()),  # JSON, null where they say nothing
        pa.field("record", pa.binary(), nullable=False),
        pa.field("vectors", pa.large_binary()),  # little-endian float32, sample after sample
    ]
)


def columns_of(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows in columns; what a row lacks is null."""
    arrays = [array_of(field.type, [row.get(field.name) for row in rows]) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def vectors_of(vectors: Floats, sample_counts: NDArray[np.int64]) -> pa.Array:
    """Return the vectors (N, dimension) of encounters as a column, without a copy."""
    data = np.ascontiguousarray(vectors, "<f4")
    offsets = np.zeros(len(sample_counts) + 1, np.int64)
    np.cumsum(sample_counts * data.itemsize * data.shape[1], out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_binary(), len(sample_counts), buffers)


def boolean(mask: NDArray[np.bool_]) -> pa.Array:
    """Return a mask as an array of pyarrow's."""
    return pa.Array.from_buffers(pa.bool_(), len(mask), [None, _bits(mask)])


def lengths(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return the bytes of each value of a column of strings or bytes, 0 for null."""
    kind = np.int64 if pa.types.is_large_binary(column.type) else np.int32
    parts = [
        np.diff(np.frombuffer(chunk.buffers()[1], kind, len(chunk) + 1, chunk.offset * kind().itemsize))
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate([np.zeros(0, np.int64), *parts])


def array_of(kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    """Return numbers, strings or bytes as a column; None is null."""
    present = _bits(np.array([value is not None for value in values], bool))
    if pa.types.is_int64(kind):
        numbers = np.array([value or 0 for value in values], np.int64)
        return pa.Array.from_buffers(kind, len(values), [present, pa.py_buffer(numbers)])
    if pa.types.is_fixed_size_binary(kind):
        data = b"".join(value or bytes(kind.byte_width) for value in values)
        return pa.Array.from_buffers(kind, len(values), [present, pa.py_buffer(data)])
    parts = [value.encode() if isinstance(value, str) else value or b"" for value in values]
    offsets = np.zeros(len(parts) + 1, np.int64 if pa.types.is_large_binary(kind) else np.int32)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    buffers = [present, pa.py_buffer(offsets), pa.py_buffer(b"".join(parts))]
    return pa.Array.from_buffers(kind, len(values), buffers)


def _bits(mask: NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(mask, bitorder="little"))
