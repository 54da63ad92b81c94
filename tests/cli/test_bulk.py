"""`facegrid bulk` as a user runs it."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from facegrid.cli import bulk_enroll

Run = Callable[..., Result]


def shown(run: Run, *arguments: object) -> list[dict[str, Any]]:
    """Return the objects that a command prints."""
    return [json.loads(line) for line in run(*arguments, "--json").stdout.splitlines()]


def reported(path: Path) -> list[tuple[str, str, str]]:
    """Return row, photograph and outcome of each line of a report."""
    with path.open(newline="") as file:
        return [(line["row"], line["photograph"], line["outcome"]) for line in csv.DictReader(file)]


@pytest.fixture
def manifest(people: Path) -> Path:
    """Return a manifest of two people, of one photograph twice, and of one that is missing."""
    path = people / "people.csv"
    path.write_text(
        "subject,photograph,country\n"
        "eileen,eileen/one.png,US\n"
        "tom,tom/one.png,\n"
        "eileen,./eileen/one.png,US\n"
        "tom,tom/none.png,\n"
    )
    return path


def test_a_manifest_is_enrolled_once(run: Run, manifest: Path, tmp_path: Path) -> None:
    """Photographs go in once with their metadata; a second run goes on with what failed."""
    run("gallery", "create", "g")
    enroll = ("bulk", "enroll", "--gallery", "g", "--report", tmp_path / "report.csv", manifest)
    first = run(*enroll, code=1)
    assert "enrolled 2, duplicate 1, failed 1" in first.stdout
    assert "tom/none.png: No such file" in first.stderr
    outcomes = [
        ("1", "eileen/one.png", "enrolled"),
        ("2", "tom/one.png", "enrolled"),
        ("3", "./eileen/one.png", "duplicate"),
        ("4", "tom/none.png", "failed"),
    ]
    assert reported(tmp_path / "report.csv") == outcomes
    (manifest.parent / "tom" / "none.png").write_bytes(b"no photograph")
    (manifest.parent / "tom" / "one.png").unlink()  # what is enrolled is not read again
    assert "INVALID_PHOTOGRAPH" in run(*enroll, code=1).stderr
    shutil.copy(manifest.parent / "eileen" / "one.png", manifest.parent / "tom" / "none.png")
    assert "enrolled 3, duplicate 1, failed 0" in run(*enroll).stdout
    assert [len(one["encounters"]) for one in shown(run, "subject", "show", "tom", "--gallery", "g")] == [2]
    assert [outcome for _, _, outcome in reported(tmp_path / "report.csv")] == [
        "enrolled",
        "enrolled",
        "duplicate",
        "enrolled",
    ]


def test_without_its_journal_a_run_has_no_second_effect(run: Run, people: Path) -> None:
    """Request ids are those of the first run; a journal of another gallery is refused."""
    run("gallery", "create", "g")
    for _ in range(2):
        assert "enrolled 2" in run("bulk", "enroll", "--gallery", "g", people).stdout
        people.with_name("people.g.journal").rename(people.with_name("g.journal"))
    assert [len(one["encounters"]) for one in shown(run, "subject", "show", "tom", "--gallery", "g")] == [1]
    run("gallery", "create", "h")
    journal = ("--journal", people.with_name("g.journal"))
    assert "is the journal of" in run("bulk", "enroll", "--gallery", "h", *journal, people, code=1).stderr
    assert shown(run, "subject", "list", "--gallery", "h") == []


def test_what_is_refused_is_tried_again_when_it_changes(
    run: Run, people: Path, six_people: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The photograph, or how it is to be read; until then it is not even sent."""
    shutil.rmtree(people / "tom")
    (people / "eileen" / "one.png").write_bytes(six_people)
    run("gallery", "create", "g")
    enroll = ("bulk", "enroll", "--gallery", "g", people)
    assert "MANY_FACES_FOUND" in run(*enroll, code=1).stderr
    with monkeypatch.context() as patched:
        patched.setattr(bulk_enroll._Enrolment, "_send", None)
        assert "MANY_FACES_FOUND" in run(*enroll, code=1).stderr
    assert "enrolled 1" in run(*enroll, "--faces", "largest").stdout


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("people.csv", "subject\n", "column photograph: is missing"),
        ("people.csv", "subject,photograph\n", "has no photographs"),
        ("people.csv", "subject,photograph\neileen,eileen/one.png\ntom\n", "row 2: has 1 columns"),
        ("people.txt", "", "is no folder"),
    ],
)
def test_a_bad_manifest_changes_nothing(run: Run, people: Path, name: str, text: str, message: str) -> None:
    """It is read to its end before the first photograph is enrolled."""
    run("gallery", "create", "g")
    (people / name).write_text(text)
    assert message in run("bulk", "enroll", "--gallery", "g", people / name, code=1).stderr
    assert shown(run, "subject", "list", "--gallery", "g") == []


@pytest.mark.parametrize("kind", ["parquet", "npz"])
def test_an_export_is_imported_again(run: Run, manifest: Path, tmp_path: Path, kind: str) -> None:
    """The new gallery holds the same people with the same labels; photographs are files."""
    run("gallery", "create", "g")
    run("bulk", "enroll", "--gallery", "g", manifest, code=1)
    out, kept = tmp_path / f"g.{kind}", tmp_path / "kept"
    assert (
        "exported 2 templates" in run("bulk", "export", "--gallery", "g", out, "--photographs", kept).stdout
    )
    (photograph,) = (kept / "eileen").iterdir()
    assert photograph.suffix == ".png"
    assert photograph.read_bytes() == (manifest.parent / "eileen" / "one.png").read_bytes()
    assert not list(tmp_path.glob("*.partial"))
    run("gallery", "create", "h")
    assert "imported 2 templates" in run("bulk", "import", "--gallery", "h", out).stdout
    assert "was imported before" in run("bulk", "import", "--gallery", "h", out).stdout
    again = tmp_path / f"h.{kind}"
    run("bulk", "export", "--gallery", "h", again)
    if kind == "npz":
        first, second = ({**np.load(path)} for path in (out, again))
        order, other = (np.argsort(one["subject"]) for one in (first, second))
        for name in ("subject", "template", "norm", "metadata", "sub_galleries", "status", "sample"):
            np.testing.assert_array_equal(first[name][order], second[name][other])
        assert json.loads(first["metadata"][order][0]) == {"country": "US"}
    (found,) = shown(run, "identify", "--gallery", "h", manifest.parent / "tom" / "one.png")
    assert found["faces"][0]["candidates"][0]["subject"] == "tom"
    assert "imported 2 templates" in run("bulk", "import", "--gallery", "h", "--again", out).stdout


def test_a_bad_import_changes_nothing(run: Run, tmp_path: Path) -> None:
    """A row at fault, another pack's templates, or none that is stated: a sentence with the file."""
    run("gallery", "create", "g")
    file = tmp_path / "t.npz"
    vectors = np.eye(4, 128, dtype=np.float32)
    arrays = {"subject": np.array(["a", "b", "c", "d"])}
    (version,) = (one["template_version"] for one in shown(run, "gallery", "list"))
    import_file = ("bulk", "import", "--gallery", "g", file)
    np.savez(file, template=vectors, **arrays)
    assert "does not state its template version" in run(*import_file, code=1).stderr
    wrong = run(*import_file, "--template-version", "other", code=1).stderr
    assert "TEMPLATE_VERSION_MISMATCH" in wrong
    vectors[2] = 0
    np.savez(file, template=vectors, **arrays)
    bad = run(*import_file, "--template-version", version, code=1).stderr
    assert "t.npz, row 3, column template: is a vector of zeros; nothing was imported" in bad
    np.savez(file, template=np.eye(4, 64, dtype=np.float32), **arrays)
    assert "INVALID_TEMPLATE" in run(*import_file, "--template-version", version, code=1).stderr
    assert shown(run, "subject", "list", "--gallery", "g") == []
    assert (
        "the gallery is empty" in run("bulk", "export", "--gallery", "g", tmp_path / "o.npz", code=1).stderr
    )
    assert not (tmp_path / "o.npz").exists()
    assert "neither .parquet" in run("bulk", "export", "--gallery", "g", tmp_path / "o.csv", code=2).stderr
