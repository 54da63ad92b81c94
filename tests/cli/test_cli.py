"""The command line as a user runs it, on the in-process runtime and on photographs that packages carry."""

import json
import re
import shutil
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console
from typer.testing import Result

Run = Callable[..., Result]


def _lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def _size(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as opened:
        return opened.size


def test_detection_options(run: Run, tmp_path: Path, portrait: bytes) -> None:
    """A portrait on its side is found where the options say so; a size below the limit is refused."""
    with Image.open(BytesIO(portrait)) as photograph:
        photograph.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "lying.png")
    asked = ("--detection", "fast", "--smallest-face", 40, "--any-rotation", "--json")
    (found,) = _lines(run("detect", *asked, tmp_path / "lying.png"))
    (face,) = found["faces"]
    assert {one["measure"]: one["value"] for one in face["quality"]}["roll"] == pytest.approx(-90, abs=10)
    assert "limit is 20" in run("detect", "--smallest-face", 5, tmp_path / "lying.png", code=1).stderr


def test_enrol_identify_and_delete(run: Run, people: Path, tmp_path: Path, six_people: bytes) -> None:
    """A folder is enrolled; its people are found, others are not; what is deleted is gone."""
    probes = [tmp_path / "mirrored.jpg", tmp_path / "six.jpg"]
    with Image.open(people / "eileen" / "one.png") as photograph:
        photograph.convert("RGB").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(probes[0])
    probes[1].write_bytes(six_people)
    run("gallery", "create", "g")
    assert "enrolled 2, already there 0, failed 0" in run("enroll", "--gallery", "g", people).stdout

    found = run("identify", "--gallery", "g", "--json", "--draw", tmp_path / "drawn", *probes)
    mirrored, six = _lines(found)
    assert mirrored["faces"][0]["candidates"][0]["subject"] == "eileen"
    assert mirrored["faces"][0]["decision"] == "MATCH"
    assert [face["decision"] for face in six["faces"]] == ["NO_MATCH"] * 6
    assert all(face["candidates"] == [] for face in six["faces"])
    assert _size(tmp_path / "drawn" / "six.annotated.jpg") == (1280, 886)

    assert [line["subject"] for line in _lines(run("subject", "list", "--gallery", "g", "--json"))] == [
        "eileen",
        "tom",
    ]
    run("subject", "delete", "eileen", "--gallery", "g", "--yes")
    (mirrored,) = _lines(run("identify", "--gallery", "g", "--json", probes[0]))
    assert mirrored["faces"][0]["decision"] == "NO_MATCH"
    run("gallery", "delete", "g", "--yes")
    assert _lines(run("gallery", "list", "--json")) == []


def test_the_json_of_a_photograph_has_the_documented_shape(run: Run, people: Path) -> None:
    """One object a photograph, with the keys that the README lists."""
    run("gallery", "create", "g")
    (line,) = _lines(run("identify", "--gallery", "g", "--json", people / "eileen" / "one.png"))
    assert list(line) == ["photo", "faces", "error"]
    (face,) = line["faces"]
    assert list(face) == [
        "box",
        "landmarks",
        "detection_score",
        "quality",
        "template_version",
        "decision",
        "threshold",
        "candidates",
    ]
    assert len(face["box"]) == 4
    assert [len(point) for point in face["landmarks"]] == [2] * 5
    assert {"inter_eye_distance", "facegrid_quality"} < {one["measure"] for one in face["quality"]}


def test_enrolment_goes_on_past_bad_files_and_can_be_taken_up_again(run: Run, people: Path) -> None:
    """Each bad file is named with its reason, the exit code is 1, and a second run enrols only the rest."""
    (people / "tom" / "notes.txt").write_text("no photograph")
    (people / "tom" / "empty.jpg").touch()
    run("gallery", "create", "g")
    first = run("enroll", "--gallery", "g", people, code=1)
    assert "enrolled 2, already there 0, failed 2" in first.stdout
    assert "notes.txt" in first.stderr
    assert "empty.jpg" in first.stderr
    assert first.stderr.count("INVALID_PHOTOGRAPH") == 2
    for bad in ("notes.txt", "empty.jpg"):
        (people / "tom" / bad).unlink()
    assert "enrolled 0, already there 2, failed 0" in run("enroll", "--gallery", "g", people).stdout


def test_one_subject_is_enrolled_by_id(run: Run, people: Path) -> None:
    """Photographs after --subject are all of that person."""
    run("gallery", "create", "g")
    run("enroll", "--gallery", "g", "--subject", "collins", people / "eileen" / "one.png")
    (shown,) = _lines(run("subject", "show", "collins", "--gallery", "g", "--json"))
    (encounter,) = shown["encounters"]
    assert encounter["samples"][0]["photograph_kept"]
    assert "one.png" not in json.dumps(shown)


def test_verify_two_photographs_and_a_claim(run: Run, people: Path) -> None:
    """Both forms of verify say MATCH or NO_MATCH, with score and threshold."""
    eileen, tom = people / "eileen" / "one.png", people / "tom" / "one.png"
    assert run("verify", eileen, eileen).stdout.startswith("MATCH: score 1.000")
    (compared,) = _lines(run("verify", eileen, tom, "--json"))
    (face,) = compared["faces"]
    assert face["decision"] == "NO_MATCH"
    assert face["candidates"][0]["subject"] == str(tom)
    assert face["candidates"][0]["score"] < face["threshold"]
    run("gallery", "create", "g")
    run("enroll", "--gallery", "g", people)
    claim = ("verify", "--gallery", "g", "--subject", "eileen", "--json")
    true, false = _lines(run(*claim, eileen, tom))
    assert true["faces"][0]["decision"] == "MATCH"
    assert false["faces"][0]["decision"] == "NO_MATCH"


def test_the_photograph_at_fault_is_named(run: Run, people: Path, tmp_path: Path, six_people: bytes) -> None:
    """Where the second of two photographs is bad, the error is not blamed on the first."""
    (tmp_path / "six.jpg").write_bytes(six_people)
    eileen = people / "eileen" / "one.png"
    run("verify", eileen, tmp_path / "six.jpg", "--faces", "largest")
    assert (
        "six.jpg: the photograph shows 6 faces" in run("verify", eileen, tmp_path / "six.jpg", code=1).stderr
    )
    assert "none.jpg: No such file" in run("verify", eileen, tmp_path / "none.jpg", code=1).stderr
    assert "eileen: is a folder; name the photographs" in run("verify", eileen, eileen.parent, code=1).stderr
    assert "no face" in run("detect", _grey(tmp_path)).stdout


def _grey(folder: Path) -> Path:
    Image.new("RGB", (64, 64), "grey").save(folder / "grey.png")
    return folder / "grey.png"


def test_a_setting_that_makes_no_sense_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence has the variable and its value."""
    monkeypatch.setenv("FACEGRID_MAX_CALLS", "many")
    assert "FACEGRID_MAX_CALLS is 'many'" in run("gallery", "list", code=1).stderr


def test_a_broken_pack_does_not_hide_the_others(run: Run, open_pack_root: Path) -> None:
    """Lists show what is wrong in its own row; a call that needs the pack says so in the log's words."""
    broken = open_pack_root / "broken"
    broken.mkdir()
    (broken / "manifest.toml").write_text("name = 1")
    try:
        listed = {line["pack"]: line for line in _lines(run("models", "list", "--json"))}
        assert listed["open"]["dimension"] == 128
        assert "manifest.toml" in listed["broken"]["problem"]
        assert "manifest.toml" in run("models", "verify", code=1).stdout
        refused = run("gallery", "create", "g", "--pack", "broken", code=1)
        assert "MISCONFIGURED" in refused.stderr
    finally:
        shutil.rmtree(broken)


def test_reading_goes_on_past_bad_files(run: Run, people: Path, tmp_path: Path) -> None:
    """A bad photograph has its error in the JSON and at the end, and the exit code is 1."""
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff nothing")
    result = run("detect", "--json", bad, tmp_path / "missing.jpg", people / "eileen" / "one.png", code=1)
    broken, missing, good = _lines(result)
    assert "INVALID_PHOTOGRAPH" in broken["error"]
    assert "No such file" in missing["error"]
    assert (len(good["faces"]), good["error"]) == (1, None)
    assert "bad.jpg" in result.stderr


def test_copies_are_legible_and_never_over_the_photograph(run: Run, people: Path) -> None:
    """A small photograph is enlarged in its copy; a copy beside its photograph has another name."""
    tom = people / "tom" / "one.png"
    before = tom.read_bytes()
    run("detect", tom, people / "eileen" / "one.png", "--draw", people / "tom")
    assert tom.read_bytes() == before
    assert _size(people / "tom" / "one.annotated.jpg") == (640, 640)
    assert (people / "tom" / "one-2.annotated.jpg").exists()


def test_a_copy_never_takes_the_place_of_another_photograph(run: Run, people: Path) -> None:
    """Not even of one that is named as a copy would be."""
    folder = people / "eileen"
    (folder / "one.annotated.jpg").write_bytes((people / "tom" / "one.png").read_bytes())
    before = (folder / "one.annotated.jpg").read_bytes()
    run("detect", folder / "one.png", folder / "one.annotated.jpg", "--draw", folder)
    assert (folder / "one.annotated.jpg").read_bytes() == before
    assert (folder / "one-2.annotated.jpg").exists()


def test_the_same_photograph_twice_is_enrolled_once(run: Run, people: Path) -> None:
    """A copy under another name is skipped, though both are sent in one run."""
    for number in range(4):
        shutil.copy(people / "tom" / "one.png", people / "tom" / f"copy{number}.png")
    run("gallery", "create", "g")
    assert "enrolled 2, already there 4, failed 0" in run("enroll", "--gallery", "g", people).stdout


def test_a_folder_that_cannot_be_used_is_named(run: Run, people: Path, tmp_path: Path) -> None:
    """Data or copies where a file stands end with a sentence that has the path."""
    (tmp_path / "file").touch()
    assert "file" in run("gallery", "list", "--data", tmp_path / "file", code=1).stderr
    photograph = people / "tom" / "one.png"
    assert "file" in run("detect", photograph, "--draw", tmp_path / "file", code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("gallery", "show", "none"), 1, "GALLERY_NOT_FOUND"),
        (("gallery", "create", "../x"), 1, "INVALID_FIELD"),
        (("subject", "show", "x", "--gallery", "none"), 1, "GALLERY_NOT_FOUND"),
        (("identify", "--gallery", "none", "x.jpg"), 1, "GALLERY_NOT_FOUND"),
        (("gallery", "create", "x", "--pack", "none"), 1, "PACK_NOT_FOUND"),
        (("verify", "a.jpg"), 2, "two photographs"),
        (("verify", "a.jpg", "--gallery", "g"), 2, "--subject"),
        (("models", "build", "other"), 2, "open"),
        (("gallery", "list", "--server", "127.0.0.1:1"), 1, "no server answers at 127.0.0.1:1"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    run: Run, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """Errors name what is wrong, with exit code 1, or 2 for a wrong command line; never a stack trace."""
    result = run(*arguments, code=code)
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_packs_are_listed_and_verified(run: Run, tmp_path: Path) -> None:
    """The list shows licence and template version; verify finds a file that was changed."""
    (pack,) = _lines(run("models", "list", "--json"))
    assert pack["pack"] == "open"
    assert run("models", "verify").stdout.count(": ok") == 4
    assert run("models", "build", "open", "--models", tmp_path / "models").stdout.startswith(
        "pack open is in"
    )
    (tmp_path / "models" / "open" / "pnet.onnx").write_bytes(b"changed")
    assert "sha256" in run("models", "verify", "open", "--models", tmp_path / "models", code=1).stdout


def test_lists_go_through_all_pages(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit into one page comes with the next."""
    monkeypatch.setattr("facegrid.client.client._PAGE", 2)
    for number in range(5):
        run("gallery", "create", f"g{number}")
    listed = [line["gallery"] for line in _lines(run("gallery", "list", "--json"))]
    assert listed == [f"g{number}" for number in range(5)]


def test_a_long_job_shows_count_rate_and_remaining_time(
    run: Run, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal, the bar says how many are done, how fast, and how long the rest will take."""
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, width=110)
    monkeypatch.setattr("facegrid.cli.photographs.errors_console", console)
    run("detect", *[people / "tom" / "one.png"] * 12)
    assert re.search(r"12/12.*[0-9.]+/s.*0:00:00", screen.getvalue())
