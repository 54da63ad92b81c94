"""`facegrid analyze` on the open pack with seeded models of attributes beside it."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from facegrid.cli.analyze import _ReadFace
from facegrid.v1.face_service_pb2 import FaceAttributes
from facegrid.v1.types_pb2 import DetectedFace
from releases import zipped
from seeded import write_maps, write_table

Run = Callable[..., Result]
FILES = {"genderage": (96, 3), "landmark_2d_106": (192, 212), "landmark_3d_68": (192, 3309)}
ALL = ["age", "gender_presentation", "pose", "landmarks_106", "landmarks_68", "mask"]


@pytest.fixture(scope="module")
def models(open_pack_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of packs whose open pack reads all attributes but the mask."""
    root = tmp_path_factory.mktemp("models")
    shutil.copytree(open_pack_root / "open", root / "open")
    with (root / "open" / "manifest.toml").open("a") as manifest:
        for kind, (side, length) in FILES.items():
            file = write_table(root / "open" / f"{kind}.onnx", side, length)
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            manifest.write(f"\n[[attributes]]\nkind = '{kind}'\nside = {side}\nmean = 127.5\nstd = 128.0\n")
            manifest.write(f"[attributes.model]\npath = '{file.name}'\nsha256 = '{digest}'\n")
            manifest.write("licence = 'none'\nsource = 'seeded'\n")
    return root


@pytest.fixture
def photograph(tmp_path: Path, portrait: bytes) -> Path:
    """Return a photograph of one face."""
    (tmp_path / "eileen.png").write_bytes(portrait)
    return tmp_path / "eileen.png"


def test_nothing_is_read_that_nobody_allowed(run: Run, photograph: Path) -> None:
    """By default no attribute is allowed, and the sentence says how one would be."""
    refused = run("analyze", photograph, "--attributes", "age", code=1)
    assert "ATTRIBUTE_NOT_ALLOWED" in refused.stderr
    assert "FACEGRID_ATTRIBUTES" in refused.stderr


def test_attributes_that_the_server_allows(
    run: Run, photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The JSON has what is asked for and nothing else, landmarks lie about the face and are drawn."""
    monkeypatch.setenv("FACEGRID_ATTRIBUTES", "all")
    wanted = ",".join(ALL[:-1])
    (line,) = _lines(
        run("analyze", photograph, "--attributes", wanted, "--json", "--draw", tmp_path / "drawn")
    )
    (face,) = line["faces"]
    read = face["attributes"]
    assert list(read) == ALL[:-1]
    assert sum(read["gender_presentation"].values()) == pytest.approx(1, abs=1e-5)
    assert list(read["pose"]) == ["pitch", "yaw", "roll"]
    assert np.shape(read["landmarks_106"]) == (106, 2)
    assert np.shape(read["landmarks_68"]) == (68, 3)
    x, y, width, height = face["box"]
    apart = np.subtract(read["landmarks_106"], (x + width / 2, y + height / 2))
    assert np.abs(apart).max() <= 0.75 * max(width, height)
    with Image.open(photograph) as before, Image.open(tmp_path / "drawn" / "eileen.annotated.jpg") as after:
        enlarged = np.asarray(before.convert("RGB").resize(after.size), int)
        left, top = (round(v * after.width / before.width) for v in read["landmarks_106"][0])
        assert np.abs(np.asarray(after, int) - enlarged)[top - 1 : top + 2, left - 1 : left + 2].max() > 50
    (only,) = _lines(run("analyze", photograph, "--attributes", "pose", "--json"))
    assert list(only["faces"][0]["attributes"]) == ["pose"]
    table = run("analyze", photograph, "--attributes", "age, pose,landmarks_68").stdout
    assert all(word in table for word in ("years", "pitch", "68", "landmarks"))


def test_attributes_that_a_gallery_allows(run: Run, photograph: Path) -> None:
    """What a gallery was made with is shown and counts where the gallery is named."""
    run("gallery", "create", "g", "--attributes", "age,pose")
    assert json.loads(run("gallery", "show", "g", "--json").stdout)["attributes"] == ["age", "pose"]
    asked = ("analyze", photograph, "--gallery", "g", "--attributes")
    (line,) = _lines(run(*asked, "age", "--json"))
    assert list(line["faces"][0]["attributes"]) == ["age"]
    assert "ATTRIBUTE_NOT_ALLOWED" in run(*asked, "all", code=1).stderr
    refused = run("gallery", "create", "h", "--attributes", "mask", code=1)
    assert "no model of pack open reads mask" in refused.stderr


@pytest.mark.parametrize(
    ("attributes", "code", "words"),
    [("", 1, "INVALID_FIELD"), ("height", 2, "'height' is no attribute"), ("age,", 1, "NOT_ALLOWED")],
)
def test_lists_of_attributes(run: Run, photograph: Path, attributes: str, code: int, words: str) -> None:
    """An empty list and an unknown name are refused; a stray comma is not."""
    assert words in run("analyze", photograph, "--attributes", attributes, code=code).stderr


def test_setting_that_names_no_attribute(run: Run, photograph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server does not start, and says which names there are."""
    monkeypatch.setenv("FACEGRID_ATTRIBUTES", "age,height")
    refused = run("analyze", photograph, "--attributes", "age", code=1)
    assert "FACEGRID_ATTRIBUTES is 'age,height'" in refused.stderr
    assert "gender_presentation" in refused.stderr


def test_words_of_a_mask() -> None:
    """The probability of a mask has its words in the table and in the picture."""
    read = _ReadFace(DetectedFace(), FaceAttributes(mask=0.25))
    assert (read.label, read.cells(), read.as_json()["attributes"]) == (
        "mask 0.25",
        ["mask 0.25"],
        {"mask": 0.25},
    )


def test_models_list_says_what_a_pack_reads(run: Run) -> None:
    """The JSON of a pack lists its attributes."""
    (pack,) = _lines(run("models", "list", "--json"))
    assert sorted(pack["attributes"]) == sorted(ALL[:-1])
    assert run("models", "verify").stdout.count(": ok") == 7


def test_an_installed_pack_keeps_its_models_of_attributes(run: Run, tmp_path: Path) -> None:
    """An archive of InsightFace's five models makes a pack that reads what they read, and finds masks."""
    given, packs = tmp_path / "given", tmp_path / "packs"
    given.mkdir()
    write_maps(given / "det.onnx", side=64, masks=True)
    write_table(given / "rec.onnx", 112, 64)
    for kind, (side, length) in FILES.items():
        write_table(given / f"{kind}.onnx", side, length)
    archive = tmp_path / "buffalo_l.zip"
    archive.write_bytes(zipped({path.name: path.read_bytes() for path in given.iterdir()}))
    run("models", "install", "buffalo_l", "--accept-licence", "--file", archive, "--models", packs)
    (pack,) = _lines(run("models", "list", "--json", "--models", packs))
    assert sorted(pack["attributes"]) == sorted(ALL)


def _lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]
