"""Tables in files, by column: Parquet and npz. The command line knows pyarrow here alone."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from facegrid.cli.bad_rows import LABEL_COLUMNS, BadFile, check_column

_VERSION = "facegrid.template_version"
_FLOAT_BYTES = 4
_SCALARS = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_boolean,
)
Vectors = NDArray[np.float32]


class TableFile:
    """A Parquet or npz file that is read in parts; errors are BadFile."""

    def __init__(self, path: Path, required: Sequence[str], *, unlabelled: Sequence[str] = ()) -> None:
        """Open a file with required columns; those that are `unlabelled` and not required say no label."""
        self.path = path
        self._file = self._opened()
        self.schema = self._file.schema_arrow if isinstance(self._file, pq.ParquetFile) else self._file.schema
        for name in required:
            if name not in self.schema.names:
                raise BadFile(path, f"is missing; the file has {', '.join(self.schema.names)}", column=name)
        known = {*required, *unlabelled}
        self.label_columns = [name for name in self.schema.names if name not in known]
        for name in self.label_columns:
            self._check_label(name)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(
            self._file.metadata.num_rows if isinstance(self._file, pq.ParquetFile) else len(self._file)
        )

    @property
    def template_version(self) -> str:
        """The version that the file states; empty where it does not."""
        return str((self.schema.metadata or {}).get(_VERSION.encode(), b"").decode())

    def parts(self, rows: int) -> Iterator[pa.Table]:
        """Yield the rows, some at a time."""
        try:
            if isinstance(self._file, pq.ParquetFile):
                batches = self._file.iter_batches(batch_size=rows, use_threads=False)
            else:
                batches = iter(self._file.to_batches(max_chunksize=rows))
            for batch in batches:
                yield pa.Table.from_batches([batch])
        except (pa.ArrowException, OSError) as error:
            raise BadFile(self.path, f"cannot be read: {error}") from None

    def _opened(self) -> Any:
        try:
            return _npz(self.path) if self.path.suffix == ".npz" else pq.ParquetFile(self.path)
        except (pa.ArrowException, ValueError, OSError, KeyError) as error:
            raise BadFile(self.path, f"cannot be read: {error}") from None

    def _check_label(self, name: str) -> None:
        kind = self.schema.field(name).type
        if name == "sub_galleries" and pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
            return
        if name not in LABEL_COLUMNS:
            check_column(name, self.path)
        if not any(fits(kind) for fits in _SCALARS):
            raise BadFile(self.path, f"has type {kind}; metadata is text, number or flag", column=name)


def _npz(path: Path) -> pa.Table:
    with np.load(path, allow_pickle=False) as arrays:
        named = dict(arrays)
    version = str(named.pop("template_version", ""))
    columns = {name: _column(array) for name, array in named.items()}
    return pa.table(columns, metadata={_VERSION: version} if version else None)


def _column(array: NDArray[Any]) -> pa.Array:
    if array.ndim == 2:  # noqa: PLR2004  # templates (N, dimension)
        flat = np.ascontiguousarray(array, np.float32).reshape(-1)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), array.shape[1])
    return pa.array(array)


def whole_encounters(parts: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield parts of a table again, cut so that no encounter of several rows is."""
    held: pa.Table | None = None
    for part in parts:
        if "encounter" not in part.column_names:
            yield part
            continue
        table = part if held is None else pa.concat_tables([held, part])
        last = int(np.flatnonzero(encounter_begins(table))[-1])
        held = table.slice(last)
        if last:
            yield table.slice(0, last)
    if held is not None:
        yield held


def encounter_begins(table: pa.Table) -> NDArray[np.bool_]:
    """Say of each row whether it begins an encounter: in a file without that column, each does."""
    begins = np.ones(len(table), bool)
    if "encounter" in table.column_names:
        keys = list(zip(table["subject"].to_pylist(), table["encounter"].to_pylist(), strict=True))
        begins[1:] = [after[1] is None or after != before for before, after in pairwise(keys)]
    return begins


def vectors_of(column: pa.ChunkedArray, path: Path, first_row: int) -> Vectors:
    """Return templates, which are lists of numbers or little-endian float32, as (N, dimension).

    Raises BadFile.
    """
    array = column.combine_chunks()
    if array.null_count:
        row = first_row + int(pc.index(array.is_valid(), value=False).as_py())
        raise BadFile(path, "is empty", row=row, column="template")
    numbers, sizes = _numbers(array, path)
    wrong = np.flatnonzero((sizes != sizes[0]) | (sizes == 0))
    if len(wrong):
        place = int(wrong[0])
        problem = (
            f"has {sizes[place]} numbers and row {first_row} has {sizes[0]}" if place else "has no numbers"
        )
        raise BadFile(path, problem, row=first_row + place, column="template")
    return numbers.reshape(len(array), -1)


def _numbers(array: pa.Array, path: Path) -> tuple[Vectors, NDArray[np.int64]]:
    """Return all numbers, and how many of them each row has."""
    kind = array.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        array = array.cast(pa.large_binary())
        offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset :][: len(array) + 1]
        if (np.diff(offsets) % _FLOAT_BYTES).any():
            raise BadFile(path, "has bytes that are no float32 numbers", column="template")
        data = np.frombuffer(array.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
        return data.view("<f4"), np.diff(offsets) // _FLOAT_BYTES
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise BadFile(path, f"has type {kind}; a template is a list of numbers, or bytes", column="template")
    numbers, sizes = array.flatten(), np.from_dlpack(array.value_lengths())  # to_numpy() imports pandas
    if numbers.null_count or not (pa.types.is_floating(numbers.type) or pa.types.is_integer(numbers.type)):
        raise BadFile(path, "has an entry that is no number", column="template")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
        return np.from_dlpack(numbers).astype(np.float32, copy=False), sizes.astype(np.int64)


def write_part(
    path: Path, schema: pa.Schema, template_version: str, columns: Mapping[str, Sequence[Any] | Vectors]
) -> None:
    """Write rows, column by column, to a Parquet file."""
    stated = schema.with_metadata({_VERSION: template_version})
    arrays = [_array(columns[field.name], field.type) for field in stated]
    pq.write_table(pa.Table.from_arrays(arrays, schema=stated), path, compression="zstd")


def join_parts(parts: Sequence[Path], path: Path) -> None:
    """Write the rows of Parquet files to one, or to npz, which is held in memory."""
    if path.suffix == ".npz":
        _write_npz(pa.concat_tables([pq.read_table(part) for part in parts]), path)
        return
    with pq.ParquetWriter(path, pq.read_schema(parts[0]), compression="zstd") as writer:
        for part in parts:
            writer.write_table(pq.read_table(part))


def _write_npz(table: pa.Table, path: Path) -> None:
    arrays: dict[str, Any] = {"template_version": table.schema.metadata[_VERSION.encode()].decode()}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if pa.types.is_fixed_size_list(column.type):
            arrays[name] = np.from_dlpack(column.flatten()).reshape(-1, column.type.list_size)
        else:
            arrays[name] = np.array(column.to_pylist())
    np.savez(path, **arrays)


def _array(values: Sequence[Any] | Vectors, kind: pa.DataType) -> pa.Array:
    if isinstance(values, np.ndarray):
        return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
    return pa.array(values, kind)


def exported_schema(dimension: int) -> pa.Schema:
    """Return the columns of an export."""
    texts = ("subject", "encounter", "metadata", "sub_galleries", "status", "created", "sha256")
    return pa.schema(
        [
            *((name, pa.string()) for name in texts),
            ("sample", pa.int32()),
            ("norm", pa.float32()),
            ("template", pa.list_(pa.float32(), dimension)),
        ]
    )
