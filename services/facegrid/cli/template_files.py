"""A file of templates as the messages of an import: checked, and normalised where it is not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegrid.cli.bad_rows import BadFile, check_name, row_labels
from facegrid.cli.tables import TableFile, Vectors, encounter_begins, vectors_of, whole_encounters
from facegrid.v1.bulk_service_pb2 import ImportTemplatesRequest

_REQUIRED = ("subject", "template")
_MEANINGFUL = ("norm", "encounter", "sample", "created", "sha256")
_ROWS = 512  # a message; 1 MiB of templates of 512 numbers
_UNIT_TOLERANCE = 1e-3  # the server's


class TemplateFile:
    """Parquet or npz with the columns subject and template; also norm, encounter, and labels.

    Rows that follow each other with the same subject and encounter are samples of one encounter.
    """

    def __init__(self, path: Path) -> None:
        """Open the file. Raises BadFile."""
        self._path = path
        self._table = TableFile(path, _REQUIRED, unlabelled=_MEANINGFUL)
        if not self._table.rows:
            raise BadFile(path, "has no rows")
        self.template_version = self._table.template_version
        self._dimension = 0

    @property
    def rows(self) -> int:
        """The number of templates."""
        return self._table.rows

    def messages(self) -> Iterator[ImportTemplatesRequest]:
        """Yield all rows, an encounter's in one message. Raises BadFile."""
        row, self._dimension = 1, 0
        for part in whole_encounters(self._table.parts(_ROWS)):
            yield self._message(part, row)
            row += len(part)

    def _message(self, table: Any, row: int) -> ImportTemplatesRequest:
        vectors = self._vectors(table, row)
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        wrong = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
        if len(wrong):
            problem = "is a vector of zeros" if lengths[wrong[0]] == 0 else "has a number that is not finite"
            raise BadFile(self._path, problem, row=row + int(wrong[0]), column="template")
        norms = self._norms(table, row, lengths)
        scaled = np.abs(lengths - 1) > _UNIT_TOLERANCE
        if scaled.any():
            vectors = np.where(scaled[:, None], vectors / lengths[:, None], vectors).astype(np.float32)
        begins = encounter_begins(table)
        first = np.flatnonzero(begins)
        subjects = table["subject"].to_pylist()
        return ImportTemplatesRequest(
            subject_ids=[
                check_name(subjects[place], self._path, row + place, "subject") for place in first.tolist()
            ],
            vectors=vectors.astype("<f4", copy=False).tobytes(),
            norms=norms.tolist(),
            sample_counts=[] if begins.all() else np.diff([*first, len(begins)]).tolist(),
            labels=self._labels(table, first.tolist(), row),
        )

    def _vectors(self, table: Any, row: int) -> Vectors:
        vectors = vectors_of(table["template"], self._path, row)
        self._dimension = self._dimension or vectors.shape[1]
        if vectors.shape[1] != self._dimension:
            problem = f"has {vectors.shape[1]} numbers and the first row has {self._dimension}"
            raise BadFile(self._path, problem, row=row, column="template")
        return vectors

    def _norms(self, table: Any, row: int, lengths: NDArray[Any]) -> NDArray[Any]:
        """Return the norms that the file states, else the lengths before normalisation, 0 of normal ones."""
        if "norm" not in table.column_names:
            return np.where(np.abs(lengths - 1) > _UNIT_TOLERANCE, lengths, 0).astype(np.float32)
        norms = np.array([one or 0 for one in table["norm"].to_pylist()], np.float32)
        wrong = np.flatnonzero(~(np.isfinite(norms) & (norms >= 0)))
        if len(wrong):
            raise BadFile(self._path, "is negative or not finite", row=row + int(wrong[0]), column="norm")
        return norms

    def _labels(self, table: Any, first: list[int], row: int) -> list[Any]:
        if not self._table.label_columns:
            return []
        rows = table.select(self._table.label_columns).take(first).to_pylist()
        return [
            row_labels(values, self._path, row + place) for place, values in zip(first, rows, strict=True)
        ]
