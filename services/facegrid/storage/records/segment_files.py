"""Segments as files: written, and read again from nothing but their bytes."""

from collections.abc import Callable
from itertools import pairwise
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from facegrid.storage.objects.store import ObjectStore
from facegrid.storage.records.columns import SCHEMA, lengths
from facegrid.storage.records.manifests import SegmentFile

SCHEMA_VERSION = b"1"
SEGMENT_BYTES = 64 * 1024 * 1024
_GROUP_BYTES = 2 * 1024 * 1024  # read for one subject: some milliseconds
_PLAIN, _MAGIC, _FOOTER_END = ["id", "sid", "revision"], 4, 8


def write_segments(store: ObjectStore, key: Callable[[], str], rows: pa.Table) -> list[SegmentFile]:
    """Write rows in the order of their subjects' hashes, those without one last, to files of some size."""
    rows = rows.sort_by([("sid", "ascending"), ("id", "ascending")])
    ends = np.cumsum(lengths(rows["vectors"]) + lengths(rows["record"]))
    total = int(ends[-1]) if len(ends) else 0
    count = -(-total // SEGMENT_BYTES)  # of equal size, so that none of several is small
    cuts = np.searchsorted(ends, [total * number / count for number in range(1, count)], "right")
    parts = [rows.slice(start, end - start) for start, end in pairwise([0, *cuts.tolist(), len(rows)])]
    return [_write(store, key(), part) for part in parts if len(part)]


def _write(store: ObjectStore, key: str, rows: pa.Table) -> SegmentFile:
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows.replace_schema_metadata({"schema_version": SCHEMA_VERSION}),
        sink,
        row_group_size=max(1, _GROUP_BYTES * len(rows) // max(rows.nbytes, 1)),
        compression={
            name: "zstd" if name in {"record", "subject_id", "labels"} else "none" for name in SCHEMA.names
        },
        use_dictionary=False,
        write_statistics=_PLAIN,
        write_page_checksum=True,
    )
    data = sink.getvalue().to_pybytes()
    footer = int.from_bytes(data[-8:-4], "little") + 8
    store.put(key, data)
    return SegmentFile(key, len(data), footer, crc32(data[-footer:]))


def whole_rows(data: bytes) -> pa.Table | None:
    """Return the rows of a file whose footer is not the one that was written; None where one may be missing.

    Pages have checksums; what the footer says of them must account for each byte before it, so that it left
    none out.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        rows = file.read(use_threads=False)
    except (pa.ArrowException, OSError):
        return None
    footer = int.from_bytes(data[-_FOOTER_END:-_MAGIC], "little") + _FOOTER_END
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    chunks = [(group, group.column(number)) for group in groups for number in range(group.num_columns)]
    accounted = _MAGIC + sum(chunk.total_compressed_size for _, chunk in chunks) + footer == len(data)
    counted = all(group.num_rows == chunk.num_values for group, chunk in chunks)
    ours = rows.schema.equals(SCHEMA) and file.metadata.metadata.get(b"schema_version") == SCHEMA_VERSION
    return rows.replace_schema_metadata(None) if accounted and counted and ours else None
