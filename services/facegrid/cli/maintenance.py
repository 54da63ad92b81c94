"""`facegrid gallery audit` and `facegrid gallery tune`: what an index misses, and how hard it must search."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console

from facegrid.cli.connect import Data, Server, connected
from facegrid.cli.galleries import Name
from facegrid.cli.jobs import follow
from facegrid.cli.output import AsJson, table
from facegrid.v1 import maintenance_service_pb2 as pb
from facegrid.v1 import types_pb2

_VERDICTS = {
    pb.TUNING_VERDICT_FOUND: "the smallest effort that keeps the bound is {effort}",
    pb.TUNING_VERDICT_SAMPLE_TOO_SMALL: "nothing is changed: to prove the bound, {sample_needed} mates must "
    "be found and none missed; give --sample more",
    pb.TUNING_VERDICT_BOUND_NOT_MET: "nothing is changed: the bound is not kept even at the greatest effort; "
    "allow more, or make an exact gallery",
    pb.TUNING_VERDICT_TOO_SLOW: "nothing is changed: no effort keeps both the bound and the time; allow more "
    "of one",
}


def audit_gallery(
    name: Name,
    sample: Annotated[
        int, typer.Option(metavar="N", help="Probes of subjects with one template, and of such with several.")
    ] = 1000,
    as_json: AsJson = False,
    server: Server = "",
    data: Data = None,
) -> None:
    """Measure what a gallery's index misses of what exact search finds."""
    with connected(server, data) as client:
        audit: pb.GalleryAudit = _last(client.maintenance.audit_gallery(name, sample)).audit
    if as_json:
        typer.echo(json.dumps({"gallery": name, **_plain(audit)}))
        return
    shown = table("Subjects with", "one template", "several")
    kinds = (audit.one_template, audit.several_templates)
    for measure, cells in zip(_ROWS, zip(*map(_cells, kinds), strict=True), strict=True):
        shown.add_row(measure, *cells)
    Console().print(shown)
    drawn = "" if audit.mated_scores >= _MEASURED else ", too few: scores are drawn from above the threshold"
    typer.echo(
        f"{_method(audit)}, {audit.subjects} subjects, {audit.templates} templates; a search takes "
        f"{audit.search_p50_ms:.1f} ms (99 %: {audit.search_p99_ms:.1f} ms); "
        f"{audit.mated_scores} mated scores measured{drawn}"
    )


_ROWS = (
    "Probes",
    "Mates that exact search finds",
    "Missed by the index",
    "Added miss rate",
    "Recall at 1",
    "at 10",
)
_MEASURED = 200  # as the API states at GalleryAudit.mated_scores


def tune_gallery(
    name: Name,
    max_added_miss: Annotated[
        float, typer.Option(metavar="SHARE", help="Most mates that the index may miss, such as 0.001.")
    ],
    max_ms: Annotated[
        float, typer.Option(metavar="MS", help="Longest that the median search may take.", show_default="any")
    ] = 0,
    sample: Annotated[
        int, typer.Option(metavar="N", help="Probes.", show_default="twice what can prove the bound")
    ] = 0,
    apply: Annotated[bool, typer.Option("--apply", help="Search with the effort that is found.")] = False,
    as_json: AsJson = False,
    server: Server = "",
    data: Data = None,
) -> None:
    """Find the smallest search effort at which an approximate gallery provably misses little enough.

    It exits with 1 where there is none.
    """
    with connected(server, data) as client:
        steps = client.maintenance.tune_gallery(
            name, max_added_miss, max_ms=max_ms, sample=sample, apply=apply
        )
        tuning: pb.GalleryTuning = _last(steps).tuning
    if as_json:
        typer.echo(json.dumps({"gallery": name, **_plain(tuning)}))
    else:
        _show(tuning)
    if tuning.verdict != pb.TUNING_VERDICT_FOUND:
        raise typer.Exit(1)


def _show(tuning: pb.GalleryTuning) -> None:
    shown = table("Effort", "Mates found", "Missed", "Surely below", "Median", "99 %")
    for trial in tuning.trials:
        shown.add_row(
            str(trial.effort),
            str(trial.probes.mates_found),
            str(trial.probes.missed),
            f"{100 * trial.highest_added_miss_rate:.3f} %",
            f"{trial.search_p50_ms:.1f} ms",
            f"{trial.search_p99_ms:.1f} ms",
        )
    Console().print(shown)
    words = _VERDICTS[tuning.verdict].format(effort=tuning.effort, sample_needed=tuning.sample_needed)
    typer.echo(words + ("; it is set" if tuning.applied else ""))


def _last(steps: Iterator[Any]) -> Any:
    *_, last = follow(steps)
    return last


def _cells(probes: pb.AuditedProbes) -> list[str]:
    counts = [str(probes.probes), str(probes.mates_found), str(probes.missed)]
    shares = (
        (probes.mates_found, probes.added_miss_rate, 3),
        (probes.probes, probes.recall_at_1, 2),
        (probes.probes, probes.recall_at_10, 2),
    )
    return counts + [_share(share, digits) if of else "" for of, share, digits in shares]


def _share(share: pb.Share, digits: int) -> str:
    return f"{100 * share.value:.{digits}f} % ({100 * share.low:.{digits}f} to {100 * share.high:.{digits}f})"


def _method(audit: pb.GalleryAudit) -> str:
    return types_pb2.SearchMethod.Name(audit.method).removeprefix("SEARCH_METHOD_").lower()


def _plain(message: Any) -> dict[str, Any]:
    plain = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return {name: int(value) if name in {"subjects", "templates"} else value for name, value in plain.items()}
