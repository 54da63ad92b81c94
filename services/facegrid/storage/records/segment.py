"""One segment: a Parquet file of records, of which only the places of its rows are held in memory.

A row is an encounter, or what is remembered of a deletion: an encounter's claim, or a tombstone. `record`
is JSON in the codec's forms, so that there is one way to write a record down; vectors stand beside it, since
they are read in bulk. Vectors are not compressed: zstd takes 7 % off them and a third of the speed.
"""

import io
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, pairwise, starmap
from operator import itemgetter
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from facegrid.domain.faces import Floats
from facegrid.domain.galleries import IndexRows
from facegrid.domain.labels import NO_LABELS, Labels, Status
from facegrid.storage.objects.forms import decode
from facegrid.storage.objects.store import NewerObject, ObjectStore, UnreadableObject
from facegrid.storage.records.codec import parse_labels
from facegrid.storage.records.columns import SCHEMA, boolean, columns_of, lengths
from facegrid.storage.records.manifests import SegmentFile
from facegrid.storage.records.segment_files import SCHEMA_VERSION

Amend = Callable[[str, str, int, Labels], Labels]  # of an encounter's id, its subject's hash and revision

_ID, _PLACES = "S16", ["id", "sid"]


class Segment:
    """A segment that is open; what reads blocks, and raises ObjectMissing and UnreadableObject."""

    def __init__(self, store: ObjectStore, file: SegmentFile) -> None:
        """Read the file's footer and the places of its rows."""
        self._store, self.file = store, file
        footer = store.get_range(file.key, file.size - file.footer, file.footer)
        self._check(crc32(footer) == file.footer_crc32)
        self._metadata = pq.read_metadata(_Part(footer, file.size - file.footer, file.size))
        version = self._metadata.metadata.get(b"schema_version", b"?")
        if version != SCHEMA_VERSION:
            raise NewerObject.of(file.key, version.decode(errors="replace"), SCHEMA_VERSION.decode())
        groups = [self._metadata.row_group(number) for number in range(self._metadata.num_row_groups)]
        self._starts = np.cumsum([0, *(group.num_rows for group in groups)])
        places = [self._group(number, _PLACES) for number in range(len(groups))]
        rows = pa.concat_tables([columns_of([]).select(_PLACES), *places])
        self.ids = _fixed(rows["id"])
        self.sids = _fixed(rows["sid"].drop_null())
        self._order = np.argsort(self.ids)
        self.hidden = np.zeros(len(self.sids), bool)
        self._last: tuple[int, list[str], pa.Table] | None = None

    def find(self, one: bytes) -> int | None:
        """Return the row of an id."""
        wanted = np.array(one, _ID)
        place = int(np.searchsorted(self.ids, wanted, sorter=self._order))
        if place < len(self._order) and self.ids[self._order[place]] == wanted:
            return int(self._order[place])
        return None

    def holds(self, prefix: bytes) -> bool:
        """Say whether a row's id begins with 8 bytes."""
        place = int(np.searchsorted(self.ids, np.array(prefix, _ID), sorter=self._order))
        rows = self._order[place : place + 1]
        return self.ids[rows].tobytes()[: len(prefix)] == prefix

    def hide(self, one: bytes) -> None:
        """Count an encounter as erased."""
        row = self.find(one)
        if row is not None and row < len(self.sids):
            self.hidden[row] = True

    def rows_of(self, sid: bytes) -> list[int]:
        """Return the rows of a subject that are not hidden."""
        wanted = np.array(sid, _ID)
        first, last = (int(np.searchsorted(self.sids, wanted, side)) for side in ("left", "right"))
        return [row for row in range(first, last) if not self.hidden[row]]

    def rows_of_any(self, encounter_ids: Iterable[str], sids: Iterable[str]) -> list[int]:
        """Return the rows of some encounters and of some subjects that are not hidden."""
        found = (self.find(bytes.fromhex(one)) for one in encounter_ids)
        rows = {row for row in found if row is not None and row < len(self.sids) and not self.hidden[row]}
        return sorted(rows.union(*(self.rows_of(bytes.fromhex(sid)) for sid in sids)))

    def inactive(self, sids: NDArray[np.bytes_]) -> set[str]:
        """Return the hashes of subjects, some of these among them, of which a row seems to say inactive."""
        rows, found = np.flatnonzero(np.isin(self.sids, sids)), set[str]()
        for number in np.unique(np.searchsorted(self._starts, rows, "right") - 1).tolist():
            said = pc.match_substring(self._group(number, ["labels"])["labels"], Status.INACTIVE.value)
            places = pc.indices_nonzero(said.combine_chunks()).to_pylist()
            found.update(self.sid(int(self._starts[number]) + place) for place in places)
        return found

    def sids_after(self, after: str) -> Iterator[str]:
        """Yield the hashes of the subjects with rows that are not hidden, in order, after any string."""
        for row in range(bisect_right(range(len(self.sids)), after, key=self.sid), len(self.sids)):
            if not self.hidden[row]:
                yield self.sid(row)

    def sid(self, row: int) -> str:
        """Return the hash of the subject of a row."""
        return str(self.sids[row : row + 1].tobytes().hex())

    def between(self, after: bytes, last: bytes, columns: list[str]) -> list[dict[str, Any]]:
        """Return the rows that are not hidden of subjects whose hashes lie in a range, the last included."""
        start, end = (int(np.searchsorted(self.sids, np.array(one, _ID), "right")) for one in (after, last))
        first, past = (int(np.searchsorted(self._starts, one, "right")) for one in (start, end - 1))
        if start >= end:
            return []
        groups = pa.concat_tables([self._group(number, columns) for number in range(first - 1, past)])
        rows = groups.slice(start - int(self._starts[first - 1]), end - start)
        return rows.filter(boolean(~self.hidden[start:end])).to_pylist()  # type: ignore[no-any-return]

    def sid_ahead(self, after: bytes, rows: int) -> bytes | None:
        """Return the hash of the subject some rows after a hash; None where there are fewer."""
        place = int(np.searchsorted(self.sids, np.array(after, _ID), "right")) + rows - 1
        return self.sids[place : place + 1].tobytes() if place < len(self.sids) else None

    def read(self, rows: Sequence[int], columns: list[str]) -> list[dict[str, Any]]:
        """Return a few rows."""
        found = []
        places = zip(np.searchsorted(self._starts, rows, "right") - 1, rows, strict=True)
        for number, group in groupby(places, key=itemgetter(0)):
            table = self._cached(int(number), columns)
            for _, row in group:
                found += table.slice(row - int(self._starts[number]), 1).to_pylist()
        return found

    def _cached(self, number: int, columns: list[str]) -> pa.Table:
        """Keep the last group of rows without vectors: the next subject of a list stands in it as well."""
        if "vectors" in columns:
            return self._group(number, columns)
        last = self._last
        if last is None or last[:2] != (number, columns):
            self._last = last = (number, columns, self._group(number, columns))
        return last[2]

    def table(self, columns: list[str] | None = None) -> pa.Table:
        """Return all rows, those included that are hidden or remember a deletion."""
        data = self._store.get(self.file.key)
        self._check(len(data) == self.file.size)
        return self._parse(pa.BufferReader(data), None, columns or SCHEMA.names)

    def sound_rows(self, spared: Callable[[str, str], bool]) -> pa.Table | None:
        """Return the rows that can be read; None where another than `spared` ones of subjects can't."""
        tables = [columns_of([])]
        for number, (start, end) in enumerate(pairwise(self._starts.tolist())):
            try:
                tables.append(self._group(number, SCHEMA.names))
            except UnreadableObject:
                ids = self.ids[start:end].tobytes().hex()
                lost = ((self.sid(row), ids[32 * (row - start) :][:32]) for row in range(start, end))
                if end > len(self.sids) or not all(starmap(spared, lost)):
                    return None
        return pa.concat_tables(tables)

    def rows(self, columns: list[str]) -> pa.Table:
        """Return all encounters that are not hidden."""
        rows = self.table(columns).slice(0, len(self.sids))
        return rows.filter(boolean(~self.hidden)) if self.hidden.any() else rows

    def index_rows(
        self, dimension: int, amended: Sequence[int] = (), amend: Amend | None = None
    ) -> tuple[IndexRows, int]:
        """Return the templates of all encounters that are searched and not hidden.

        Beside them stands the latest revision of an encounter that is not hidden. `amended` are rows whose
        labels are those that `amend` returns.
        """
        rows = self.rows(["id", "subject_id", "revision", "labels", "vectors"])
        latest = pc.max(rows["revision"]).as_py() or 0
        texts = rows["labels"].to_pylist()
        known = {text: self._labels(text) for text in set(texts)}
        labels = [known[text] for text in texts]
        if amend:
            for row, number in zip(
                amended, np.searchsorted(np.flatnonzero(~self.hidden), amended), strict=True
            ):
                revision = rows["revision"][number].as_py()
                labels[number] = amend(
                    self.ids[row : row + 1].tobytes().hex(), self.sid(row), revision, labels[number]
                )
        rows = rows.filter(boolean(np.array([one.searched for one in labels], bool))).combine_chunks()
        labels = [one for one in labels if one.searched]
        counts, rest = np.divmod(lengths(rows["vectors"]), 4 * dimension)
        self._check(rows["vectors"].null_count == 0 and not rest.any())
        owners, firsts = np.repeat(np.arange(len(rows)), counts), np.cumsum(counts) - counts
        names = rows["subject_id"].to_pylist()
        ids = _fixed(rows["id"])[owners].tobytes().hex()
        columns = IndexRows(
            [names[owner] for owner in owners.tolist()],
            [ids[start : start + 32] for start in range(0, len(ids), 32)],
            (np.arange(len(owners)) - firsts[owners]).tolist(),
            _floats(rows["vectors"]).reshape(-1, dimension),
            [labels[owner] for owner in owners.tolist()],
        )
        return columns, latest

    def _labels(self, text: str | None) -> Labels:
        return NO_LABELS if text is None else decode(self.file.key, text.encode(), parse_labels)

    def _group(self, number: int, columns: list[str]) -> pa.Table:
        chunks = [self._metadata.row_group(number).column(SCHEMA.get_field_index(name)) for name in columns]
        start = min(chunk.data_page_offset for chunk in chunks)
        length = max(chunk.data_page_offset + chunk.total_compressed_size for chunk in chunks) - start
        data = self._store.get_range(self.file.key, start, length)
        return self._parse(_Part(data, start, self.file.size), number, columns)

    def _parse(self, source: Any, group: int | None, columns: list[str]) -> pa.Table:
        try:
            file = pq.ParquetFile(source, metadata=self._metadata, page_checksum_verification=True)
            if group is None:
                return file.read(columns, use_threads=False)
            return file.read_row_group(group, columns, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise self._damaged() from error

    def _check(self, good: object) -> None:
        if not good:
            raise self._damaged()

    def _damaged(self) -> UnreadableObject:
        return UnreadableObject(f"the object {self.file.key} is damaged; restore it from a backup")


class _Part(io.RawIOBase):
    """A file of which one part is known; all else reads as zeros."""

    def __init__(self, data: bytes, start: int, size: int) -> None:
        super().__init__()
        self._data, self._start, self._size, self._at = memoryview(data), start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, length: int = -1) -> bytes:
        left = self._size - self._at
        length = left if length < 0 else min(length, left)
        start, self._at = self._at - self._start, self._at + length
        known = bytes(self._data[max(0, start) : max(0, start + length)])
        return (bytes(min(length, max(0, -start))) + known).ljust(length, b"\0")


def _fixed(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.bytes_]]:
    array = column.combine_chunks()
    return np.frombuffer(array.buffers()[1], _ID, len(array), array.offset * 16)


def _floats(column: pa.ChunkedArray) -> Floats:
    array = column.combine_chunks()
    offsets = np.frombuffer(array.buffers()[1], np.int64, len(array) + 1, array.offset * 8)
    return np.frombuffer(array.buffers()[2], "<f4", (offsets[-1] - offsets[0]) // 4, offsets[0])
