"""`facegrid models`: the model packs of this machine. No call: it works on the folder itself."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from facegrid.cli.output import AsJson, table
from facegrid.cli.serve import configuration_errors, settings

models_app = typer.Typer(
    no_args_is_help=True, help="List, verify, build, add and install the model packs of this machine."
)

Models = Annotated[
    Path | None,
    typer.Option(
        "--models", metavar="DIR", help="Folder of the packs. [env: FACEGRID_MODELS]", show_default=False
    ),
]


@models_app.command("list")
def list_models(as_json: AsJson = False, models: Models = None) -> None:
    """List the installed packs."""
    with configuration_errors():
        from facegrid.serving.packs import describe_packs  # noqa: PLC0415  # heavy: only where it is used

        packs = describe_packs(settings(models=models).models)
    if as_json:
        for pack in packs:
            typer.echo(json.dumps(pack))
        return
    columns = ("Pack", "Detector", "Template version", "Numbers", "Verify", "Identify")
    shown = table(*columns, "Licence, or what is wrong")
    for pack in packs:
        keys = ("pack", "detector", "template_version", "dimension", "verify_threshold", "identify_threshold")
        shown.add_row(*(str(pack.get(key, "")) for key in keys), pack.get("licence") or pack["problem"])
    Console().print(shown)
    if not packs:
        typer.echo("no pack is installed; build the open one with: facegrid models build open", err=True)


@models_app.command("verify")
def verify_models(
    pack: Annotated[str, typer.Argument(metavar="NAME", help="The pack; all where it is left out.")] = "",
    models: Models = None,
) -> None:
    """Hold the files of the packs against their manifests; exits 1 where one differs."""
    with configuration_errors():
        from facegrid.serving.packs import verify_packs  # noqa: PLC0415  # heavy: only where it is used

        reports = verify_packs(settings(models=models).models, pack)
    for file, problem in reports:
        typer.echo(f"{file}: {problem or 'ok'}")
    if any(problem for _, problem in reports):
        raise typer.Exit(1)


@models_app.command("build")
def build_model(
    pack: Annotated[str, typer.Argument(metavar="NAME", help="Only 'open' can be built.")],
    models: Models = None,
) -> None:
    """Build the open pack from the weights that `facegrid[open]` installs."""
    if pack != "open":
        raise typer.BadParameter(f"{pack!r} cannot be built; the pack that can is 'open'")
    with configuration_errors():
        from facegrid.serving.packs import build_open_pack  # noqa: PLC0415  # heavy: only where it is used

        folder = build_open_pack(settings(models=models).models)
    typer.echo(f"pack open is in {folder}")


@models_app.command("add")
def add_model(
    pack: Annotated[str, typer.Argument(metavar="NAME", help="What to call the pack.")],
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", exists=True, file_okay=False, help="Folder of ONNX files.")
    ],
    licence: Annotated[str, typer.Option(metavar="TEXT", help="The licence of the files.")],
    threshold: Annotated[
        float, typer.Option(metavar="X", min=-1, max=1, help="Lowest score that is a match.")
    ],
    models: Models = None,
) -> None:
    """Make a pack of a folder of ONNX files: one detector, one embedder, models of attributes."""
    with configuration_errors():
        from facegrid.serving.packs import add_pack  # noqa: PLC0415  # heavy: only where it is used

        added = add_pack(settings(models=models).models, pack, folder, licence=licence, threshold=threshold)
    typer.echo(f"pack {pack} is in {added}")


@models_app.command("install")
def install_model(
    pack: Annotated[
        str, typer.Argument(metavar="NAME", help="buffalo_l, buffalo_m, buffalo_s, buffalo_sc or antelopev2.")
    ],
    accept_licence: Annotated[
        bool,
        typer.Option(
            "--accept-licence", help="Acknowledge that the weights are for non-commercial research only."
        ),
    ] = False,
    url: Annotated[str, typer.Option(metavar="URL", help="Mirror of the archive.")] = "",
    file: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The archive itself; no network is used.")
    ] = None,
    sha256: Annotated[str, typer.Option(metavar="HEX", help="What the archive must hash to.")] = "",
    repin: Annotated[
        bool, typer.Option("--repin", help="Accept another archive than the one installed before.")
    ] = False,
    models: Models = None,
) -> None:
    """Install a pack of InsightFace's. Run it again to go on with a download that was stopped."""
    from facegrid.serving.packs import pack_installer  # noqa: PLC0415  # heavy: only where it is used

    if url and file:
        raise typer.BadParameter("--url and --file exclude each other; give the one that has the archive")
    try:
        with configuration_errors(), _download_progress(pack) as progress:
            installed = pack_installer(settings(models=models).models, pack, progress).install(
                accept_licence=accept_licence, url=url, file=file, sha256=sha256, repin=repin
            )
    except KeyboardInterrupt:
        typer.echo("stopped; run the same command again to go on", err=True)
        raise typer.Exit(130) from None
    already = "" if installed.new else " already"
    typer.echo(
        f"pack {pack} is{already} in {installed.folder}; its archive is pinned to sha256 {installed.sha256}"
    )


@contextmanager
def _download_progress(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yield what shows bytes, rate and remaining time on standard error, from the first bytes on."""
    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn(title), *columns, console=console, disable=not console.is_terminal) as progress:

        def show(done: int, total: int | None) -> None:
            if not progress.task_ids:
                progress.add_task(title, total=total, completed=done)
            progress.update(progress.task_ids[0], completed=done, total=total)

        yield show
