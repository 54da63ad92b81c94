"""`facegrid bulk enroll`: photographs by the million, each once however often the command is stopped."""

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from facegrid.cli.bad_rows import BadFile
from facegrid.cli.bulk_ray import ExtractedSource
from facegrid.cli.connect import Data, Server, connected
from facegrid.cli.detection import AnyRotation, Detection, SmallestFace, detection_options
from facegrid.cli.failures import fail
from facegrid.cli.journal import Journal, Settled
from facegrid.cli.photographs import errors_console, in_order, progress_bar
from facegrid.cli.selection import Faces, OneFace
from facegrid.cli.serve import extraction_on_ray
from facegrid.cli.sources import Entry, Source, open_source
from facegrid.cli.subjects import GalleryOption
from facegrid.client import CallFailed, Client, Patience, from_value, is_passing
from facegrid.v1 import identity_service_pb2 as pb
from facegrid.v1 import types_pb2
from facegrid.v1.bulk_service_pb2 import EncounterLabels

_CALLS_AT_ONCE = 16
# What is said of a photograph, and stays true until it changes.
_REFUSALS = {
    "INVALID_PHOTOGRAPH",
    "PHOTOGRAPH_TOO_LARGE",
    "MESSAGE_TOO_LARGE",
    "NO_FACE_FOUND",
    "MANY_FACES_FOUND",
    "FACE_TOO_SMALL",
    "QUALITY_TOO_LOW",
    "INVALID_FIELD",
    "ENCOUNTER_DELETED",
    "REQUEST_ID_REUSED",
}
_FAULTS = {"", "INTERNAL"}  # of the server, with this one photograph; it is tried again by the next run
_ENROLLED, _DUPLICATE, _FAILED = "enrolled", "duplicate", "failed"
_EARLIER = "an earlier row has the same photograph of this subject"


def enroll(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            exists=True,
            help="A folder of PATH/<subject>/*, a .zip or .tar.gz of one, or a .csv or .parquet manifest.",
        ),
    ],
    gallery: GalleryOption,
    journal: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="What is settled; else SOURCE.GALLERY.journal.", show_default=False
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV of what became of each photograph.", show_default=False),
    ] = None,
    faces: OneFace = Faces.ONE,
    detection: Detection = None,
    smallest_face: SmallestFace = 0,
    any_rotation: AnyRotation = None,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray", help="Read photographs and find faces on Ray: at RAY_ADDRESS, or one of its own."
        ),
    ] = False,
    server: Server = "",
    data: Data = None,
) -> None:
    """Enrol many photographs, an encounter each. Stopped at any point and run again, it goes on.

    A manifest has the columns subject and photograph (a path, or s3://BUCKET/KEY); sub_galleries and status
    are as for import, and all others become metadata. What was refused is tried again once its file changes.
    """
    counts = Counter[str]()
    with ExitStack() as stack, _named_errors():
        entries = open_source(source)
        total = _check(entries, source)
        extract = stack.enter_context(extraction_on_ray()) if ray else None
        client = stack.enter_context(connected(server, data))
        described = client.get_gallery(gallery)
        notes = stack.enter_context(Journal(journal or _beside(source, gallery), _about(described, source)))
        options = detection_options(detection, smallest_face, any_rotation)
        enrolment = _Enrolment(client, gallery, faces, options, notes)
        if extract:
            asked = partial(extract, described, faces.selection, options)
            entries = ExtractedSource(source, asked, enrolment.is_settled)
        write = csv.writer(stack.enter_context((report or Path(os.devnull)).open("w", newline=""))).writerow
        write(["row", "subject", "photograph", "outcome", "reason", "encounter"])
        for entry, settled in _progress(enrolment.outcomes(entries), total):
            counts[settled.outcome] += 1
            named = (entry.row, entry.subject, entry.photograph)
            write([*named, settled.outcome, settled.reason, settled.encounter])
    typer.echo(", ".join(f"{outcome} {counts[outcome]}" for outcome in (_ENROLLED, _DUPLICATE, _FAILED)))
    if counts[_FAILED]:
        raise typer.Exit(1)


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except BadFile as bad:
        fail(str(bad))
    except OSError as error:
        fail(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
    except KeyboardInterrupt:
        errors_console.print("stopped; run the same command again to go on")
        raise typer.Exit(130) from None


def _check(source: Source, path: Path) -> int:
    """Go through all entries before the first is enrolled, and count them. Raises BadFile."""
    if count := sum(1 for _ in source.entries()):
        return count
    raise BadFile(path, "has no photographs; a folder or archive holds a folder for each subject")


def _about(gallery: types_pb2.Gallery, source: Path) -> dict[str, str]:
    made = gallery.create_time.ToJsonString()  # a gallery that was made again is another one
    return {"gallery": gallery.name, "made": made, "source": str(source.resolve())}


def _beside(source: Path, gallery: str) -> Path:
    path = source.resolve()
    return path.with_name(f"{path.name}.{gallery}.journal")


def _progress(outcomes: Iterator[tuple[Entry, Settled]], total: int) -> Iterator[tuple[Entry, Settled]]:
    with progress_bar() as progress:
        task, failed = progress.add_task("Enrolling", total=total), 0
        for entry, settled in outcomes:
            failed += settled.outcome == _FAILED
            progress.update(task, advance=1, failed=failed)
            if settled.outcome == _FAILED:
                line = Text(f"✗ {entry.photograph}: {settled.reason}", style="red")
                progress.console.print(line, soft_wrap=True)
            yield entry, settled


class _Enrolment:
    """Enrols entries, each under an id made of subject and photograph: no retry has a second effect."""

    def __init__(
        self,
        client: Client,
        gallery: str,
        faces: Faces,
        options: types_pb2.DetectionOptions,
        journal: Journal,
    ) -> None:
        self._client, self._gallery, self._journal = client, gallery, journal
        self._faces, self._options = faces.selection, options
        self._how = hashlib.sha256(f"{faces}{options.SerializeToString().hex()}".encode()).hexdigest()[:8]
        self._patience = Patience()

    def is_settled(self, entry: Entry) -> bool:
        """Say whether an entry needs no more work unless its photograph has changed."""
        known = self._journal[entry.subject, entry.photograph]
        return known is not None and (known.outcome == _ENROLLED or known.options == self._how)

    def outcomes(self, source: Source) -> Iterator[tuple[Entry, Settled]]:
        """Yield what becomes of each entry; where that is final, it stands in the journal by then.

        Raises CallFailed where the server stays away, or none of the photographs can be enrolled.
        """
        enrolled = set[str]()
        for entry, settled in in_order(source.entries(), self._settle, _CALLS_AT_ONCE, self._patience.stop):
            if settled.outcome == _ENROLLED:
                request_id = _request_id(entry, settled.sha256)
                if request_id in enrolled:
                    yield entry, Settled(_DUPLICATE, _EARLIER, "", settled.sha256)
                    continue
                enrolled.add(request_id)
            self._note(entry, settled)
            yield entry, settled

    def _note(self, entry: Entry, settled: Settled) -> None:
        key = (entry.subject, entry.photograph)
        if settled.sha256 and settled != self._journal[key]:
            self._journal.note(key, settled)

    def _settle(self, entry: Entry) -> tuple[Entry, Settled]:
        known = self._journal[entry.subject, entry.photograph]
        if known and known.outcome == _ENROLLED:
            return entry, known
        try:
            photograph = entry.read()
        except OSError as error:
            return entry, Settled(_FAILED, error.strerror or str(error))
        sha256 = hashlib.sha256(photograph).hexdigest()
        if known and (known.sha256, known.options) == (sha256, self._how):
            return entry, known
        return entry, self._enroll(entry, photograph, sha256)

    def _enroll(self, entry: Entry, photograph: bytes, sha256: str) -> Settled:
        try:
            answer = self._patience(lambda: self._send(entry, photograph, sha256))
        except CallFailed as failure:
            if failure.reason in _REFUSALS:
                return Settled(_FAILED, str(failure), "", sha256, self._how)
            if failure.reason in _FAULTS and not is_passing(failure):
                return Settled(_FAILED, str(failure))
            raise
        return Settled(_ENROLLED, "", answer.encounter.encounter_id, sha256, self._how)

    def _send(self, entry: Entry, photograph: bytes, sha256: str) -> pb.EnrollResponse:
        labels = entry.labels or EncounterLabels()
        return self._client.enroll(
            self._gallery,
            [photograph],
            subject_id=entry.subject,
            mode=pb.ENROLL_MODE_ADD,
            faces=self._faces,
            detection=self._options,
            metadata={name: from_value(value) for name, value in labels.metadata.items()},
            sub_galleries=labels.sub_galleries,
            status=labels.status,
            extracted=[entry.extracted] if entry.extracted else [],
            request_id=_request_id(entry, sha256),
        )


def _request_id(entry: Entry, sha256: str) -> str:
    return hashlib.sha256(f"{entry.subject}|{sha256}".encode()).hexdigest()[:32]
