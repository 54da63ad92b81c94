"""A source of a bulk enrolment whose photographs are read, and their faces extracted, on a Ray cluster."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from facegrid.cli.sources import Entry, open_source
from facegrid.v1.face_service_pb2 import ExtractedFace


class ExtractedSource:
    """Entries in the order of the source at a path, each with its photograph and what the cluster made of it.

    Of those that are settled it knows no more than the source does.
    """

    def __init__(
        self, path: Path, extract: Callable[..., Iterator[Any]], is_settled: Callable[[Entry], bool]
    ) -> None:
        """Take what extracts photographs, which are opened and named as here on the cluster's nodes."""
        self._source, self._is_settled = open_source(path), is_settled
        self._extract = partial(extract, partial(_open, path.resolve()))
        self.read = self._source.read

    def entries(self) -> Iterator[Entry]:
        """Yield all entries. Raises BadFile."""
        open_entries = (entry for entry in self._source.entries() if not self._is_settled(entry))
        found = self._extract((entry.row, entry.photograph) for entry in open_entries)
        work = next(found, None)
        for entry in self._source.entries():
            while work is not None and work.row < entry.row:
                work = next(found, None)
            # A folder may change while it is gone through: who is at this row now was not extracted then.
            if work is None or (work.row, work.name) != (entry.row, entry.photograph):
                yield entry
            else:
                extracted = ExtractedFace.FromString(work.extracted) if work.extracted else None
                yield replace(entry, read=partial(_read, work.photograph, work.unread), extracted=extracted)
                work = next(found, None)


def _open(path: Path) -> Callable[[str], bytes]:
    return open_source(path).read


def _read(photograph: bytes, unread: str) -> bytes:
    if unread:
        raise OSError(unread)
    return photograph
