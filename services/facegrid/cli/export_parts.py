"""What an export has written so far: parts in a folder beside the file, and where the next one goes on."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

from facegrid.cli.bad_rows import BadFile
from facegrid.client import from_value
from facegrid.v1 import bulk_service_pb2 as pb
from facegrid.v1 import types_pb2


class ExportParts:
    """Parts of a table, one for each page of an export; `token` is behind the last one.

    `rows` and `subjects` count what they hold, of the gallery as it stood since `begun`. One run at a time
    uses them.
    """

    def __init__(self, out: Path, about: Mapping[str, str]) -> None:
        """Take the file that they become, and what they are about, the template version among it."""
        self._out, self._about = out, dict(about)
        self.folder = out.with_name(f"{out.name}.partial")
        self.token, self.rows, self.subjects, self._parts = "", 0, 0, 0
        self.begun = datetime.now(UTC).isoformat(timespec="seconds")
        self._pending: list[tuple[Any, ...]] = []
        self._vectors: list[bytes] = []
        self._last = ""

    def __enter__(self) -> Self:
        """Go on where an earlier run stopped. Raises BadFile where that one was about something else."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._state.exists():
                self._read()
        except BlockingIOError:
            os.close(self._lock)
            raise BadFile(self.folder, "is in use by another run") from None
        except BadFile:
            os.close(self._lock)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Let another run go on."""
        os.close(self._lock)

    def add(self, exported: pb.ExportedEncounter) -> None:
        """Take an encounter of the page."""
        samples, labels = exported.encounter.samples, _labels(exported.encounter)
        self.subjects, self._last = self.subjects + (exported.subject_id != self._last), exported.subject_id
        head = (exported.subject_id, exported.encounter.encounter_id, *labels)
        for number, (sample, norm) in enumerate(zip(samples, exported.norms, strict=True)):
            self._pending.append((*head, sample.sha256, number, norm))
        self._vectors.append(exported.vectors)

    def reach(self, token: str) -> None:
        """Write the page down, and that the next run goes on behind it."""
        if self._pending:
            self._write()
        self.token = token
        state = {"about": self._about, "begun": self.begun, "token": token, "parts": self._parts}
        partial = self.folder / "state.partial"
        partial.write_text(json.dumps({**state, "rows": self.rows, "subjects": self.subjects}), "utf-8")
        partial.replace(self._state)

    def finish(self) -> bool:
        """Make one file of all parts, under its name; False where there is no row."""
        from facegrid.cli.tables import join_parts  # noqa: PLC0415  # pyarrow takes long to import

        if self._pending:
            self._write()
        if self._parts:
            whole = self.folder / f"whole{self._out.suffix}"
            join_parts([self._part(number) for number in range(self._parts)], whole)
            whole.replace(self._out)
        self._state.unlink(missing_ok=True)  # first: without it, what is left says nothing
        shutil.rmtree(self.folder)
        return bool(self._parts)

    def _write(self) -> None:
        from facegrid.cli.tables import exported_schema, write_part  # noqa: PLC0415  # see above

        vectors = np.frombuffer(b"".join(self._vectors), "<f4").reshape(len(self._pending), -1)
        schema = exported_schema(vectors.shape[1])
        columns = dict(zip(schema.names, zip(*self._pending, strict=True), strict=False))
        version = self._about["template_version"]
        write_part(self._part(self._parts), schema, version, {**columns, "template": vectors})
        self._parts += 1
        self.rows += len(self._pending)
        self._pending.clear()
        self._vectors.clear()

    def _read(self) -> None:
        state = json.loads(self._state.read_text("utf-8"))
        if state["about"] != self._about:
            raise BadFile(
                self.folder,
                f"is of an export of {state['about']}, and this is {self._about}; finish that one, or remove "
                "the folder",
            )
        self.begun, self.token, self._parts = state["begun"], state["token"], state["parts"]
        self.rows, self.subjects = state["rows"], state["subjects"]

    @property
    def _state(self) -> Path:
        return self.folder / "state.json"

    def _part(self, number: int) -> Path:
        return self.folder / f"{number:06}.parquet"


def _labels(encounter: types_pb2.Encounter) -> Iterator[str]:
    """Yield metadata, sub-galleries, status and time as texts."""
    yield json.dumps({name: from_value(encounter.metadata[name]) for name in sorted(encounter.metadata)})
    yield ";".join(encounter.sub_galleries)
    yield types_pb2.Status.Name(encounter.status).removeprefix("STATUS_").lower()
    yield encounter.create_time.ToDatetime(tzinfo=UTC).isoformat()
