"""`facegrid bulk export`: a gallery's templates to a file, and its photographs to a folder."""

import json
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from facegrid.cli.connect import Data, Server, connected
from facegrid.cli.failures import fail
from facegrid.cli.photographs import errors_console, progress_bar
from facegrid.cli.subjects import GalleryOption
from facegrid.client import Client, from_value
from facegrid.v1 import bulk_service_pb2 as pb
from facegrid.v1 import types_pb2

_ROWS = 10_000
_KINDS = {
    b"\xff\xd8\xff": "jpg",
    b"\x89PNG": "png",
    b"RIFF": "webp",
    b"BM": "bmp",
    b"II*\0": "tif",
    b"MM\0*": "tif",
    b"\0\0\0\x0cjP": "jp2",
    b"\xffO\xffQ": "j2k",
}


def export_templates(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", dir_okay=False, help="The file to write: .parquet or .npz.")
    ],
    gallery: GalleryOption,
    photographs: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write the photographs that are kept as well: DIR/<subject>/<encounter>-<sample>.jpg.",
            show_default=False,
        ),
    ] = None,
    server: Server = "",
    data: Data = None,
) -> None:
    """Write all templates of a gallery; the file appears when it is complete, and can be imported.

    Npz is held in memory until then. Subjects, encounters, labels and times stand beside the templates.
    """
    if out.suffix not in {".parquet", ".npz"}:
        raise typer.BadParameter(f"{out} ends with neither .parquet nor .npz")
    with connected(server, data) as client:
        try:
            count = _export(client, gallery, out, photographs)
        except KeyboardInterrupt:
            errors_console.print("stopped; run the same command again to begin anew")
            raise typer.Exit(130) from None
    typer.echo(f"exported {count} templates to {out}")


def _export(client: Client, gallery: str, out: Path, photographs: Path | None) -> int:
    described = client.get_gallery(gallery)
    file = _File(out, described.template_version)
    try:
        with progress_bar() as progress:
            task, subjects, last = progress.add_task("Exporting", total=described.subject_count), 0, ""
            for answer in client.bulk.export_templates(gallery, photographs=photographs is not None):
                for one in answer.encounters:
                    subjects, last = subjects + (one.subject_id != last), one.subject_id
                    file.add(one)
                if photographs and answer.photograph.encounter_id:
                    _write_photograph(photographs, answer.photograph)
                progress.update(task, completed=subjects)
        file.close()
    except BaseException:
        file.discard()
        raise
    return file.rows


class _File:
    """Rows of samples on their way into a file."""

    def __init__(self, path: Path, template_version: str) -> None:
        self._path, self._version = path, template_version
        self._writer: Any = None
        self._rows: list[tuple[Any, ...]] = []
        self._vectors: list[bytes] = []
        self.rows = 0

    def add(self, exported: pb.ExportedEncounter) -> None:
        samples = exported.encounter.samples
        labels = _labels(exported.encounter)
        size = len(exported.vectors) // len(samples)
        for number, (sample, norm) in enumerate(zip(samples, exported.norms, strict=True)):
            row = (exported.subject_id, exported.encounter.encounter_id, *labels, sample.sha256, number, norm)
            self._rows.append(row)
            self._vectors.append(exported.vectors[number * size : (number + 1) * size])
        if len(self._rows) >= _ROWS:
            self._flush()

    def close(self) -> None:
        if not (self._rows or self._writer):
            fail("the gallery is empty; nothing was written")
        self._flush()
        self._writer.close()

    def discard(self) -> None:
        if self._writer:
            self._writer.discard()

    def _flush(self) -> None:
        from facegrid.cli.tables import TableWriter, exported_schema  # noqa: PLC0415  # pyarrow takes long to import

        if not self._rows:
            return
        vectors = np.frombuffer(b"".join(self._vectors), "<f4").reshape(len(self._rows), -1)
        schema = exported_schema(vectors.shape[1])
        self._writer = self._writer or TableWriter(self._path, schema, self._version)
        columns = dict(zip(schema.names, zip(*self._rows, strict=True), strict=False))
        self._writer.write({**columns, "template": vectors})
        self.rows += len(self._rows)
        self._rows.clear()
        self._vectors.clear()


def _labels(encounter: types_pb2.Encounter) -> Iterator[str]:
    """Yield metadata, sub-galleries, status and time as texts."""
    yield json.dumps({name: from_value(encounter.metadata[name]) for name in sorted(encounter.metadata)})
    yield ";".join(encounter.sub_galleries)
    yield types_pb2.Status.Name(encounter.status).removeprefix("STATUS_").lower()
    yield encounter.create_time.ToDatetime(tzinfo=UTC).isoformat()


def _write_photograph(root: Path, exported: pb.ExportedPhotograph) -> None:
    folder = root / exported.subject_id
    folder.mkdir(parents=True, exist_ok=True)
    kind = next((kind for start, kind in _KINDS.items() if exported.photograph.startswith(start)), "bin")
    (folder / f"{exported.encounter_id}-{exported.sample}.{kind}").write_bytes(exported.photograph)
