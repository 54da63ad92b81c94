"""Where photographs of a bulk enrolment come from: a folder of subjects, an archive of one, a manifest."""

import csv
import errno
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from facegrid.cli.bad_rows import BadFile, check_column, check_name, row_labels
from facegrid.cli.remote import RemoteObjects
from facegrid.v1.bulk_service_pb2 import EncounterLabels
from facegrid.v1.face_service_pb2 import ExtractedFace

_LARGEST_BYTES = 64 * 1024 * 1024  # of a photograph once it is unpacked; servers take less
_REQUIRED = ("subject", "photograph")


@dataclass(frozen=True, slots=True)
class Entry:
    """A photograph of a subject; `row` counts from 1, `photograph` is its name in the source.

    `extracted` is the face that was found in it already, if any was.
    """

    row: int
    subject: str
    photograph: str
    read: Callable[[], bytes]
    labels: EncounterLabels | None = None
    extracted: ExtractedFace | None = None


class Source(Protocol):
    """Entries that can be counted, and gone through again, always in one order."""

    def entries(self) -> Iterator[Entry]:
        """Yield all entries. Raises BadFile."""
        ...

    def read(self, photograph: str) -> bytes:
        """Return a photograph by its name, quickest in the order of the entries. Raises OSError."""
        ...


def open_source(path: Path) -> Source:
    """Return what a path holds. Raises BadFile for what is none of them."""
    if path.is_dir():
        return FolderSource(path)
    name = path.name.lower()
    if name.endswith((".csv", ".parquet")):
        return ManifestSource(path)
    if name.endswith(".zip"):
        return ZipSource(path)
    if name.endswith((".tar", ".tar.gz", ".tgz")):
        return TarSource(path)
    raise BadFile(path, "is no folder, .csv, .parquet, .zip, .tar or .tar.gz")


class FolderSource:
    """PATH/<subject>/*, in the order of names; hidden files are passed over."""

    def __init__(self, path: Path) -> None:
        """Take the folder."""
        self._path = path

    def entries(self) -> Iterator[Entry]:
        """Yield the photographs."""
        row = 0
        for folder in sorted(one for one in self._path.iterdir() if one.is_dir()):
            for file in photographs_in(folder):
                row += 1
                yield Entry(row, folder.name, f"{folder.name}/{file.name}", file.read_bytes)

    def read(self, photograph: str) -> bytes:
        """Return a file."""
        return (self._path / photograph).read_bytes()


def photographs_in(folder: Path) -> list[Path]:
    """Return a folder's files in the order of their names, without those that are hidden."""
    return sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))


class ManifestSource:
    """Rows of CSV or Parquet with a subject and a photograph each; further columns are labels.

    A photograph is a path, relative to the manifest, or s3://BUCKET/KEY.
    """

    def __init__(self, path: Path) -> None:
        """Take the manifest."""
        self._path, self._remote = path, RemoteObjects()

    def entries(self) -> Iterator[Entry]:
        """Yield the rows."""
        rows = self._csv_rows() if self._path.suffix.lower() == ".csv" else self._parquet_rows()
        for row, values in enumerate(rows, 1):
            subject = check_name(values.pop("subject"), self._path, row, "subject")
            photograph = values.pop("photograph")
            if not isinstance(photograph, str) or not photograph:
                raise BadFile(self._path, "is empty", row=row, column="photograph")
            labels = row_labels(values, self._path, row) if values else None
            yield Entry(row, subject, photograph, partial(self.read, photograph), labels)

    def read(self, photograph: str) -> bytes:
        """Return a file or an object."""
        if photograph.startswith("s3://"):
            return self._remote.read(photograph)
        return (self._path.parent / photograph).read_bytes()

    def _csv_rows(self) -> Iterator[dict[str, Any]]:
        row = 0
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as file:
                lines = csv.reader(file, strict=True)
                header = next(lines, [])
                self._check_header(header)
                for row, line in enumerate(lines, 1):
                    if len(line) != len(header):
                        problem = f"has {len(line)} columns and the header has {len(header)}"
                        raise BadFile(self._path, problem, row=row)
                    # An empty text says nothing.
                    yield {name: value or None for name, value in zip(header, line, strict=True)}
        except (csv.Error, UnicodeDecodeError) as error:
            raise BadFile(self._path, f"cannot be read: {error}", row=row + 1) from None

    def _check_header(self, header: list[str]) -> None:
        for name in _REQUIRED:
            if name not in header:
                raise BadFile(self._path, f"is missing; the header has {', '.join(header)}", column=name)
        for name in header:
            check_column(name, self._path)
            if header.count(name) > 1:
                raise BadFile(self._path, "is there twice", column=name)

    def _parquet_rows(self) -> Iterator[dict[str, Any]]:
        from facegrid.cli.tables import TableFile  # noqa: PLC0415  # pyarrow takes long to import

        for part in TableFile(self._path, _REQUIRED).parts(1000):
            yield from part.to_pylist()


class ZipSource:
    """A folder of subjects in a zip file; nothing of it is unpacked to a disk."""

    def __init__(self, path: Path) -> None:
        """Open the archive."""
        self._path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise BadFile(path, f"cannot be read: {error}") from None

    def entries(self) -> Iterator[Entry]:
        """Yield the files in the order of the archive."""
        files = (
            (info.filename, partial(self._read, info))
            for info in self._archive.infolist()
            if not info.is_dir()
        )
        return _members(self._path, files)

    def read(self, photograph: str) -> bytes:
        """Return a member."""
        return self._read(photograph)

    def _read(self, member_or_name: zipfile.ZipInfo | str) -> bytes:
        try:
            with self._archive.open(member_or_name) as member:
                return _check_size(member.read(_LARGEST_BYTES + 1))
        except (KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as error:
            raise OSError(f"cannot be unpacked: {error}") from None


class TarSource:
    """A folder of subjects in a tar file, perhaps compressed; it is read from its beginning to its end."""

    def __init__(self, path: Path) -> None:
        """Take the archive."""
        self._path = path
        self._ahead: Iterator[tuple[str, Callable[[], bytes]]] = iter(())

    def entries(self) -> Iterator[Entry]:
        """Yield the files in the order of the archive, each with its bytes."""
        return _members(self._path, self._files())

    def read(self, photograph: str) -> bytes:
        """Return a member that is further on, or else start again."""
        for _ in range(2):
            for name, read in self._ahead:
                if name == photograph:
                    return read()
            self._ahead = self._files()
        raise FileNotFoundError(errno.ENOENT, "is not in the archive any more")

    def _files(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        try:
            with tarfile.open(self._path, "r|*") as archive:
                for member in archive:
                    file = archive.extractfile(member) if member.isreg() else None
                    if file:
                        yield member.name, partial(_check_size, file.read(_LARGEST_BYTES + 1))
        except (tarfile.TarError, EOFError, OSError) as error:
            raise BadFile(self._path, f"cannot be read: {error}") from None


def _members(path: Path, files: Iterable[tuple[str, Callable[[], bytes]]]) -> Iterator[Entry]:
    """Yield entries of <subject>/<photograph>, which may stand in a folder of their own. Raises BadFile."""
    row = 0
    for name, read in files:
        parts = PurePosixPath(name).parts
        if ".." in parts or PurePosixPath(name).is_absolute():
            raise BadFile(path, f"has a member {name[:80]!r} that leads out of the archive")
        if len(parts) > 1 and not any(part.startswith((".", "__MACOSX")) for part in parts):
            row += 1
            yield Entry(row, parts[-2], name, read)


def _check_size(data: bytes) -> bytes:
    if len(data) > _LARGEST_BYTES:
        raise OSError(f"is larger than {_LARGEST_BYTES} bytes once it is unpacked")
    return data
