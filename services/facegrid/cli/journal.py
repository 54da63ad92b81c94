"""The journal of a bulk enrolment: what is settled, so that a run that was stopped goes on where it was."""

import fcntl
import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from facegrid.cli.bad_rows import BadFile

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a photograph; `sha256` is that of its bytes, `options` a digest of how it was sent."""

    outcome: str
    reason: str = ""
    encounter: str = ""
    sha256: str = ""
    options: str = ""


class Journal:
    """A file of lines, appended to as photographs are settled; one run at a time uses it."""

    def __init__(self, path: Path, about: Mapping[str, str]) -> None:
        """Take the file, and what it is about: a journal about something else is refused."""
        self._path, self._about = path, dict(about)
        self._settled: dict[_Key, Settled] = {}

    def __enter__(self) -> Self:
        """Open and read it. Raises BadFile, and OSError where it cannot be written."""
        self._file = self._path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read()
        except BlockingIOError:
            self._file.close()
            raise BadFile(self._path, "is in use by another run") from None
        except BadFile:
            self._file.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self._file.close()

    def __getitem__(self, key: _Key) -> Settled | None:
        """Return what became of the photograph of a subject; None where it is not settled."""
        return self._settled.get(key)

    def note(self, key: _Key, settled: Settled) -> None:
        """Write down what became of a photograph."""
        self._settled[key] = settled
        self._write([*key, *astuple(settled)])

    def _read(self) -> None:
        self._file.seek(0)
        *lines, torn = self._file.read().split(b"\n")
        self._file.truncate(self._file.tell() - len(torn))  # a line that a crash broke off
        if not lines:
            self._write(self._about)
            return
        try:
            about, *entries = map(json.loads, lines)
            self._settled = {(subject, photograph): Settled(*rest) for subject, photograph, *rest in entries}
        except (ValueError, TypeError):
            raise BadFile(
                self._path, "is no journal of a bulk enrolment; name another with --journal"
            ) from None
        if about != self._about:
            raise BadFile(
                self._path,
                f"is the journal of {about}, and this is {self._about}; name another with --journal, or "
                "remove it",
            )

    def _write(self, form: object) -> None:
        self._file.write(json.dumps(form).encode() + b"\n")
        self._file.flush()
