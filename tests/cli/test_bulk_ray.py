"""`facegrid bulk enroll --ray`: the same outcomes as without, whatever a cluster makes of photographs."""

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image
from typer.testing import Result

from facegrid.cli.bulk_ray import ExtractedSource
from facegrid.cli.sources import Entry
from facegrid.v1.face_service_pb2 import ExtractedFace
from ray_server import eventually

Run = Callable[..., Result]
_FACE = ExtractedFace()
_FACE.template.norm = 1


def _cluster(open_source: Callable[[], Any], names: Iterable[tuple[int, str]]) -> Iterator[Any]:
    """Find a face in each photograph whose number is even, and read none of 3."""
    read = open_source()
    for row, name in names:
        unread = "gone" if row == 3 else ""
        photograph = b"" if unread else read(name)
        face = b"" if row % 2 else _FACE.SerializeToString()
        yield SimpleNamespace(row=row, name=name, photograph=photograph, unread=unread, extracted=face)


def test_entries_come_in_order_with_what_was_found(tmp_path: Path) -> None:
    """What is settled is not sent to the cluster; what could not be read there fails as if read here."""
    (tmp_path / "ann").mkdir()
    for number in range(1, 6):
        (tmp_path / "ann" / f"{number}.jpg").write_bytes(b"%d" % number)
    settled = {"ann/1.jpg", "ann/4.jpg"}
    source = ExtractedSource(tmp_path, _cluster, lambda entry: entry.photograph in settled)
    found: list[Entry] = []
    for entry in source.entries():
        found.append(entry)
        settled.add(entry.photograph)
    assert [entry.row for entry in found] == [1, 2, 3, 4, 5]
    assert [bool(entry.extracted) for entry in found] == [False, True, False, False, False]
    assert [found[number].read() for number in (0, 1, 3, 4)] == [b"1", b"2", b"4", b"5"]
    with pytest.raises(OSError, match="gone"):
        found[2].read()


def test_a_photograph_that_comes_meanwhile_moves_no_face_to_another_name(tmp_path: Path) -> None:
    """A folder that changes after the cluster was told of it gives each subject its own photographs."""
    for subject in ("ann", "bob", "carol"):
        (tmp_path / subject).mkdir()
        (tmp_path / subject / "1.jpg").write_bytes(subject.encode())

    def cluster(open_source: Callable[[], Any], names: Iterable[tuple[int, str]]) -> Iterator[Any]:
        works = list(_cluster(open_source, names))
        (tmp_path / "bob" / "0.jpg").write_bytes(b"bob")
        yield from works

    entries = ExtractedSource(tmp_path, cluster, lambda _: False).entries()
    found = [(entry.subject, entry.read().decode()) for entry in entries if entry.row != 3]
    assert found == [("ann", "ann"), ("bob", "bob"), ("carol", "carol")]


def test_a_cluster_that_is_not_there_is_named(
    run: Run, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and nothing is enrolled."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    run("gallery", "create", "g")
    command = [sys.executable, "-m", "facegrid.cli", "bulk", "enroll", "--ray", "--gallery", "g", people]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "Ray cannot be reached at 127.0.0.1:1; check RAY_ADDRESS" in ended.stderr
    assert "eileen" not in run("subject", "list", "--gallery", "g").stdout


@pytest.fixture
def many_photographs(people: Path) -> Path:
    """Return a folder with forty photographs that show one face, one of two, one of none and one of noise."""
    heads = np.tile(skimage.data.astronaut()[:256, 96:352], (1, 2, 1))
    for number in range(40):
        moved = Image.fromarray(np.roll(skimage.data.astronaut(), number, axis=1))
        moved.save(people / "eileen" / f"{number:02}.jpg", quality=90)
    (people / "zoe").mkdir()
    Image.fromarray(heads).save(people / "zoe" / "two.png")
    (people / "zoe" / "noise.jpg").write_bytes(b"no photograph")
    Image.fromarray(np.full((99, 99, 3), 127, np.uint8)).save(people / "zoe" / "grey.png")
    return people


@pytest.fixture
def short_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let Ray keep its sockets where their paths are short enough."""
    with TemporaryDirectory(prefix="fg", dir="/tmp") as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        yield


@pytest.mark.integration
@pytest.mark.timeout(900)  # on a busy machine Ray takes its time to start, twice
@pytest.mark.usefixtures("short_folder")
def test_a_run_on_ray_is_the_plain_run(run: Run, many_photographs: Path, tmp_path: Path) -> None:
    """Stopped and taken up again, it ends with the same report and templates; a plain run adds nothing."""
    source, reports = many_photographs, {name: tmp_path / f"{name}.csv" for name in ("plain", "ray")}
    for name in reports:
        run("gallery", "create", name)
    run("bulk", "enroll", "--gallery", "plain", "--report", reports["plain"], source, code=1)
    journal = source.with_name("people.ray.journal")
    command = [sys.executable, "-m", "facegrid.cli", "bulk", "enroll", "--ray", "--gallery", "ray"]
    with subprocess.Popen([*command, source], env=os.environ, stderr=subprocess.PIPE, text=True) as stopped:
        eventually(partial(_has_lines, journal, 10, stopped), "the tenth photograph", 300)
        stopped.send_signal(signal.SIGINT)
        _, said = stopped.communicate(timeout=60)
    assert (stopped.returncode, "run the same command again to go on" in said) == (130, True)
    before = len(journal.read_bytes().splitlines())
    assert before < 1 + len(list(source.rglob("*.*g")))
    ended = subprocess.run(
        [*command, "--report", reports["ray"], source], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1, ended.stderr
    assert _outcomes(reports["ray"]) == _outcomes(reports["plain"])
    assert {reason.rpartition("(")[2] for *_, reason in _outcomes(reports["ray"])} == {
        "",
        "NO_FACE_FOUND)",
        "INVALID_PHOTOGRAPH)",
        "MANY_FACES_FOUND)",
    }
    templates = [_templates(run, name, tmp_path) for name in reports]
    np.testing.assert_allclose(templates[0], templates[1], atol=1e-6)
    journal.unlink()
    run("bulk", "enroll", "--gallery", "ray", source, code=1)
    assert len(_templates(run, "ray", tmp_path)) == len(templates[1])


def _has_lines(journal: Path, lines: int, process: "subprocess.Popen[str]") -> bool:
    assert process.poll() is None, process.stderr and process.stderr.read()
    return journal.exists() and len(journal.read_bytes().splitlines()) > lines


def _outcomes(report: Path) -> list[tuple[str, ...]]:
    with report.open(newline="") as file:
        columns = ("row", "subject", "photograph", "outcome", "reason")
        return [tuple(line[column] for column in columns) for line in csv.DictReader(file)]


def _templates(run: Run, gallery: str, folder: Path) -> Any:
    file = folder / f"{gallery}.npz"
    run("bulk", "export", "--gallery", gallery, file)
    with np.load(file) as arrays:
        rows: Any = arrays["template"]
        file.unlink()
        return rows[np.lexsort(rows.T)]
