"""Pairs of subjects as a Parquet file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

_KINDS = pa.string(), pa.string(), pa.float64(), pa.string(), pa.int32(), pa.string(), pa.int32()


def write_pairs(path: Path, columns: Sequence[str], pairs: Sequence[Sequence[Any]]) -> None:
    """Write pairs: two subjects, their score, and of each side the encounter and the sample's number."""
    values = zip(*pairs, strict=True) if pairs else ([] for _ in columns)
    arrays = [pa.array(column, kind) for column, kind in zip(values, _KINDS, strict=True)]
    parquet.write_table(pa.Table.from_arrays(arrays, list(columns)), path)
