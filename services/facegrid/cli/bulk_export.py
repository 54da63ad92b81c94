"""`facegrid bulk export`: a gallery's templates to a file, and its photographs to a folder."""

from pathlib import Path
from typing import Annotated

import typer

from facegrid.cli.bad_rows import BadFile
from facegrid.cli.connect import Data, Server, connected
from facegrid.cli.export_parts import ExportParts
from facegrid.cli.failures import fail
from facegrid.cli.jobs import stoppable
from facegrid.cli.photographs import progress_bar
from facegrid.cli.subjects import GalleryOption
from facegrid.client import Client
from facegrid.v1 import bulk_service_pb2 as pb

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

    Stopped, the same command goes on. Subjects, encounters, labels and times stand beside the templates.
    """
    if out.suffix not in {".parquet", ".npz"}:
        raise typer.BadParameter(f"{out} ends with neither .parquet nor .npz")
    with connected(server, data) as client, stoppable("run the same command again to go on"):
        try:
            count = _export(client, gallery, out, photographs)
        except BadFile as bad:
            fail(str(bad))
    typer.echo(f"exported {count} templates to {out}")


def _export(client: Client, gallery: str, out: Path, photographs: Path | None) -> int:
    described = client.get_gallery(gallery)
    about = {
        "gallery": gallery,
        "made": described.create_time.ToJsonString(),
        "template_version": described.template_version,
        "photographs": str(photographs.resolve()) if photographs else "",
    }
    with ExportParts(out, about) as parts, progress_bar() as progress:
        if parts.token:
            message = f"goes on with the export of {parts.begun}; to begin anew, remove {parts.folder}"
            progress.console.print(message, soft_wrap=True, highlight=False)
        task = progress.add_task("Exporting", total=described.subject_count, completed=parts.subjects)
        for answer in client.bulk.export_templates(
            gallery, photographs=photographs is not None, page_token=parts.token
        ):
            for one in answer.encounters:
                parts.add(one)
            if photographs and answer.photograph.encounter_id:
                _write_photograph(photographs, answer.photograph)
            if answer.next_page_token:
                parts.reach(answer.next_page_token)
            progress.update(task, completed=parts.subjects)
        if not parts.finish():
            fail("the gallery is empty; nothing was written")
        return parts.rows


def _write_photograph(root: Path, exported: pb.ExportedPhotograph) -> None:
    folder = root / exported.subject_id
    folder.mkdir(parents=True, exist_ok=True)
    kind = next((kind for start, kind in _KINDS.items() if exported.photograph.startswith(start)), "bin")
    path = folder / f"{exported.encounter_id}-{exported.sample}.{kind}"
    partial = path.with_suffix(".partial")
    partial.write_bytes(exported.photograph)
    partial.replace(path)
