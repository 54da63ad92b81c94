"""Rebuilds, checks and duplicates at the command line."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import Result

from facegrid.client.maintenance import MaintenanceCalls

Run = Callable[..., Result]


@pytest.fixture
def gallery(run: Run, people: Path) -> str:
    """Make a gallery of two people, one of them under two names."""
    shutil.copytree(people / "eileen", people / "eileen_again")
    run("gallery", "create", "g")
    run("enroll", "--gallery", "g", people)
    return "g"


def test_a_sound_gallery_is_checked_and_rebuilt(run: Run, gallery: str) -> None:
    """Both say what they counted; --json says it for programs."""
    assert "3 encounters with 3 samples" in run("gallery", "check", gallery).stdout
    (line,) = run("gallery", "check", gallery, "--json").stdout.splitlines()
    checked = json.loads(line)
    assert (checked["sound"], checked["indexed"], checked["problems"]) == (True, 3, {})
    assert "holds 3 templates of 3 encounters" in run("gallery", "rebuild", gallery).stdout
    rebuilt = json.loads(run("gallery", "rebuild", gallery, "--json").stdout)
    assert (rebuilt["gallery"], rebuilt["encounters"], rebuilt["templates"]) == ("g", 3, 3)


def test_a_damaged_encounter_is_named_and_set_aside(
    run: Run, gallery: str, tmp_path: Path, people: Path
) -> None:
    """The gallery can't be used, others can, until a repair; then its other subjects are found again."""
    mark = min((tmp_path / "data").rglob("encounter.json"))
    mark.write_text("{")
    run("gallery", "create", "other")
    probe = people / "tom" / "one.png"
    assert "MISCONFIGURED" in run("identify", "--gallery", gallery, probe, code=1).stderr
    run("identify", "--gallery", "other", probe)
    found = run("gallery", "check", gallery, code=1).stdout
    assert "damaged" in found
    assert "can't be loaded" in found
    finding, result = map(
        json.loads, run("gallery", "check", gallery, "--repair", "--json").stdout.splitlines()
    )
    assert finding == {"problem": "damaged", "name": mark.parent.name, "repaired": True}
    assert result["sound"]
    assert result["problems"] == {"damaged": {"found": 1, "repaired": 1}}
    assert "set aside (harmless)" in run("gallery", "check", gallery).stdout
    run("identify", "--gallery", gallery, probe)


def test_what_a_repair_cannot_mend_is_named_with_what_to_do(run: Run, gallery: str, tmp_path: Path) -> None:
    """First that a repair may help, and after it what is left to do, for its first names."""
    min((tmp_path / "data").rglob("source")).unlink()
    found = run("gallery", "check", gallery, code=1).stdout
    assert "--repair mends what can be mended" in found
    left = run("gallery", "check", gallery, "--repair", code=1).stdout
    assert "1 photograph missing: restore it from a backup, or enrol the person again" in left


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_duplicates_are_shown_and_written(run: Run, gallery: str, tmp_path: Path, kind: str) -> None:
    """One pair: the person who was enrolled twice."""
    shown = run("gallery", "duplicates", gallery).stdout
    assert "eileen_again" in shown
    assert "1 pairs of subjects score 0.590 or more" in shown
    pair = json.loads(run("gallery", "duplicates", gallery, "--json").stdout)
    assert (pair["first_subject"], pair["second_subject"], pair["score"]) == ("eileen", "eileen_again", 1.0)
    output = tmp_path / f"pairs.{kind}"
    run("gallery", "duplicates", gallery, "--output", output)
    if kind == "csv":
        with output.open(encoding="utf-8", newline="") as file:
            (written,) = csv.DictReader(file)
    else:
        (written,) = pq.read_table(output).to_pylist()
    assert {name: str(value) for name, value in pair.items()} == {
        name: str(value) for name, value in written.items()
    }
    assert list(tmp_path.glob("*.partial")) == []


def test_a_stopped_search_for_duplicates_goes_on(
    run: Run, gallery: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came before the last cursor is kept, what came after it comes again, and nothing comes twice."""
    monkeypatch.setattr("facegrid.identity.duplicates._BLOCK_ENCOUNTERS", 1)
    output, cursors, real = tmp_path / "pairs.csv", list[str](), MaintenanceCalls.find_duplicates

    def stopped(self: MaintenanceCalls, *args: object, cursor: str, **options: object) -> object:
        cursors.append(cursor)
        for step in real(self, *args, cursor=cursor, **options):  # type: ignore[arg-type]
            yield step
            if step.duplicates.pairs and len(cursors) == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(MaintenanceCalls, "find_duplicates", stopped)
    ended = run("gallery", "duplicates", gallery, "--output", output, code=130)
    assert "run the same command again" in ended.stderr
    assert not output.exists()
    partial = tmp_path / "pairs.csv.partial"
    partial.write_text(partial.read_text() + '{"pairs": [["torn')
    other = run("gallery", "duplicates", gallery, "--threshold", 0.1, "--output", output, code=1)
    assert "another job" in other.stderr
    run("gallery", "duplicates", gallery, "--output", output)
    assert cursors[0] == ""
    assert cursors[1]
    assert len(output.read_text().splitlines()) == 2


def test_an_output_of_another_kind_is_refused(run: Run, tmp_path: Path) -> None:
    """Before anything is done."""
    refused = run("gallery", "duplicates", "g", "--output", tmp_path / "pairs.xlsx", code=2)
    assert ".parquet" in refused.stderr
