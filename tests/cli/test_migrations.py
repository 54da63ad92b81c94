"""Moving a gallery to another pack, as an operator does it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from second_pack import add_second_pack

Run = Callable[..., Result]


@pytest.fixture
def models(open_pack_root: Path, tmp_path: Path) -> Path:
    """Return a folder of two packs."""
    return add_second_pack(open_pack_root, tmp_path / "packs")


def test_a_gallery_moves_to_another_pack_and_back(run: Run, people: Path, tmp_path: Path) -> None:
    """Each command says what it did and names the next one."""
    probe = people / "eileen" / "one.png"
    run("gallery", "create", "g")
    run("enroll", "--gallery", "g", people)
    report = tmp_path / "left.csv"
    copied = run("gallery", "migrate", "g", "--pack", "other", "--shadow", 1, "--report", report)
    assert "copied to pack other, 0 encounters are left behind" in copied.stdout
    assert list(csv.reader(report.read_text().splitlines())) == [["subject", "encounter", "reason"]]
    assert json.loads(run("gallery", "migration", "g", "--json").stdout)["state"] == "READY"
    run("gallery", "cut-over", "g")
    (found,) = json.loads(run("identify", "--gallery", "g", "--json", probe).stdout)["faces"]
    assert found["template_version"].startswith("other")
    assert found["candidates"][0]["subject"] == "eileen"
    assert "pack open again" in run("gallery", "roll-back", "g").stdout
    run("gallery", "cut-over", "g")
    run("gallery", "finish-migration", "g")
    shown = json.loads(run("gallery", "show", "g", "--json").stdout)
    assert (shown["pack"], shown["migration"], shown["subjects"]) == ("other", None, 2)


def test_a_migration_is_cancelled(run: Run, people: Path) -> None:
    """The gallery stays as it was; people whose photographs are not kept are listed before that."""
    run("gallery", "create", "g", "--no-keep-photographs")
    run("enroll", "--gallery", "g", people)
    report = people / "left.csv"
    assert (
        "2 encounters are left"
        in run("gallery", "migrate", "g", "--pack", "other", "--report", report).stdout
    )
    rows = list(csv.DictReader(report.read_text().splitlines()))
    assert {row["subject"]: row["reason"] for row in rows} == {
        "eileen": "PHOTOGRAPH_NOT_KEPT",
        "tom": "PHOTOGRAPH_NOT_KEPT",
    }
    assert "insist" in run("gallery", "cut-over", "g", code=1).stderr
    run("gallery", "cancel-migration", "g")
    assert json.loads(run("gallery", "show", "g", "--json").stdout)["migration"] is None
