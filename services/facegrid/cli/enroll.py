"""`facegrid enroll`: folders of subjects, or the photographs of one subject, into a gallery."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Annotated

import typer

from facegrid.cli.connect import Data, Server, connected
from facegrid.cli.detection import AnyRotation, Detection, SmallestFace, detection_options
from facegrid.cli.labels import Metadata, SubGalleries, parse_metadata
from facegrid.cli.photographs import errors_console, for_each, report_failures
from facegrid.cli.selection import Faces, OneFace
from facegrid.cli.sources import photographs_in
from facegrid.client import CallFailed, Client
from facegrid.client.labels import Value
from facegrid.v1 import identity_service_pb2 as pb
from facegrid.v1.types_pb2 import DetectionOptions


def enroll(
    photographs: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...", exists=True, help="Folders of PATH/<subject>/*, or photographs of --subject."
        ),
    ],
    gallery: Annotated[str, typer.Option(metavar="NAME", help="Gallery to enrol into.")],
    subject: Annotated[str, typer.Option(metavar="ID", help="The subject that all photographs show.")] = "",
    metadata: Metadata = None,
    sub_gallery: SubGalleries = None,
    faces: OneFace = Faces.ONE,
    detection: Detection = None,
    smallest_face: SmallestFace = 0,
    any_rotation: AnyRotation = None,
    server: Server = "",
    data: Data = None,
) -> None:
    """Enrol photographs. Run it again to go on: photographs that a subject already has are skipped."""
    labels = parse_metadata(metadata or []), sub_gallery or []
    with connected(server, data) as client:
        jobs = _jobs(photographs, subject)
        client.get_gallery(gallery)
        options = detection_options(detection, smallest_face, any_rotation)
        enrolment = _Enrolment(client, gallery, faces, options, labels)
        counts, broken, failures = Counter[str](), Counter[str](), []
        try:
            for outcome in for_each(jobs, enrolment.enroll, "Enrolling"):
                counts[outcome.answer or "failed"] += 1
                broken.update(outcome.measures)
                if outcome.error:
                    failures.append((outcome.item[1], outcome.error))
        except KeyboardInterrupt:
            errors_console.print("stopped; run the same command again to go on")
            raise typer.Exit(130) from None
    typer.echo(f"enrolled {counts['enrolled']}, already there {counts['skipped']}, failed {counts['failed']}")
    if broken:
        typer.echo(f"quality rules broken: {', '.join(f'{name} {count}' for name, count in broken.items())}")
    report_failures(failures)


class _Enrolment:
    """Enrols one photograph after another, an encounter each."""

    def __init__(
        self,
        client: Client,
        gallery: str,
        faces: Faces,
        options: DetectionOptions,
        labels: tuple[Mapping[str, Value], Sequence[str]],
    ) -> None:
        self._client, self._gallery = client, gallery
        self._metadata, self._sub_galleries = labels
        self._faces, self._options = faces.selection, options
        self._known: dict[str, set[str]] = {}
        self._lock = Lock()

    def enroll(self, job: tuple[str, Path]) -> str:
        subject, path = job
        photograph = path.read_bytes()
        if not self._is_new(subject, hashlib.sha256(photograph).hexdigest()):
            return "skipped"
        self._client.enroll(
            self._gallery,
            [photograph],
            subject_id=subject,
            mode=pb.ENROLL_MODE_ADD,
            faces=self._faces,
            detection=self._options,
            metadata=self._metadata,
            sub_galleries=self._sub_galleries,
        )
        return "enrolled"

    def _is_new(self, subject: str, sha256: str) -> bool:
        with self._lock:
            if subject not in self._known:
                self._known[subject] = self._sha256s(subject)
            known = self._known[subject]
            count = len(known)
            known.add(sha256)
            return len(known) > count

    def _sha256s(self, subject: str) -> set[str]:
        try:
            encounters = self._client.get_subject(self._gallery, subject).encounters
        except CallFailed as failure:
            if failure.reason == "SUBJECT_NOT_FOUND":
                return set()
            raise
        return {sample.sha256 for encounter in encounters for sample in encounter.samples}


def _jobs(paths: list[Path], subject: str) -> list[tuple[str, Path]]:
    """Return (subject, photograph) pairs in the order of their names."""
    for path in paths:
        if path.is_file() and not subject:
            raise typer.BadParameter(f"{path} is a file: say whom it shows with --subject, or name a folder")
    if subject:
        jobs = [
            (subject, file) for path in paths for file in ([path] if path.is_file() else photographs_in(path))
        ]
    else:
        folders = [folder for path in paths for folder in sorted(path.iterdir()) if folder.is_dir()]
        jobs = [(folder.name, file) for folder in folders for file in photographs_in(folder)]
    if not jobs:
        raise typer.BadParameter(
            "no photographs found; with --subject name photographs or their folder, without it a folder "
            "that holds a folder for each subject"
        )
    return jobs
