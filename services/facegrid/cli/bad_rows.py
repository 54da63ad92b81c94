"""What is wrong with a file of rows: a sentence that names the file, the row and the column."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facegrid.client import Value, to_value
from facegrid.v1 import types_pb2 as pb
from facegrid.v1.bulk_service_pb2 import EncounterLabels

LABEL_COLUMNS = ("metadata", "sub_galleries", "status")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_STATUSES = {"": pb.STATUS_ACTIVE, "active": pb.STATUS_ACTIVE, "inactive": pb.STATUS_INACTIVE}


class BadFile(Exception):
    """A file cannot be used. Rows count from 1, a header not among them."""

    def __init__(self, path: Path, problem: str, *, row: int = 0, column: str = "") -> None:
        """Keep the sentence."""
        place = [str(path), *([f"row {row}"] if row else []), *([f"column {column}"] if column else [])]
        super().__init__(f"{', '.join(place)}: {problem}")


def check_name(value: object, path: Path, row: int, column: str) -> str:
    """Return a subject's id or another name. Raises BadFile."""
    if not isinstance(value, str) or not value:
        raise BadFile(path, "is empty", row=row, column=column)
    if not _NAME.fullmatch(value):
        raise BadFile(
            path,
            f"{value[:40]!r} is no name: use 1 to 128 of A-Z a-z 0-9 . _ -, the first a letter or digit",
            row=row,
            column=column,
        )
    return value


def check_column(name: str, path: Path) -> None:
    """Raise BadFile for a column whose name cannot be one of metadata."""
    if not _NAME.fullmatch(name):
        raise BadFile(
            path, f"has a column {name[:40]!r}, which is no name for metadata: use A-Z a-z 0-9 . _ -"
        )


def row_labels(values: Mapping[str, Any], path: Path, row: int) -> EncounterLabels:
    """Return the labels that a row's columns state; those that no name is kept for are metadata.

    Raises BadFile.
    """
    metadata = {name: value for name, value in values.items() if name not in LABEL_COLUMNS}
    metadata |= _written_metadata(values.get("metadata"), path, row)
    status = str(values.get("status") or "").lower()
    if status not in _STATUSES:
        raise BadFile(path, f"{status[:40]!r} is neither active nor inactive", row=row, column="status")
    return EncounterLabels(
        metadata={name: to_value(value) for name, value in metadata.items() if value is not None},
        sub_galleries=[
            check_name(name, path, row, "sub_galleries") for name in _names(values.get("sub_galleries"))
        ],
        status=_STATUSES[status],
    )


def _names(value: str | list[str] | None) -> list[str]:
    if isinstance(value, str):
        return [name.strip() for name in value.split(";") if name.strip()]
    return value or []


def _written_metadata(text: str | None, path: Path, row: int) -> dict[str, Value]:
    """Read a JSON object, as an export writes it, whose values keep their types."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(one, str | int | float) for one in found.values()):
        raise BadFile(path, "is no JSON object of texts, numbers and flags", row=row, column="metadata")
    return found
