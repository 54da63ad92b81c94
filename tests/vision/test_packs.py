"""A folder of packs lists, checks and loads them."""

import hashlib
import shutil
from pathlib import Path

import pytest

from facegrid.domain.errors import InvalidField, PackNotFound
from facegrid.vision.adding import add_pack
from facegrid.vision.manifest import PackError
from facegrid.vision.packs import PackFolder
from seeded import with_external_weights, write_scrfd, write_table


@pytest.fixture
def packs_root(open_pack_root: Path, tmp_path: Path) -> Path:
    """Return a copy of the open pack that a test may spoil."""
    shutil.copytree(open_pack_root, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_names(packs_root: Path) -> None:
    """Folders with a manifest are packs, others are not."""
    (packs_root / "notes").mkdir()
    assert PackFolder(packs_root).names() == ["open"]
    assert PackFolder(packs_root / "nowhere").names() == []


def test_load(packs_root: Path) -> None:
    """A loaded pack states what its manifest states."""
    packs = PackFolder(packs_root)
    assert packs.load("open").pack == packs.manifest("open").pack


def test_unknown_name(packs_root: Path) -> None:
    """An unknown pack's error names those that are installed."""
    with pytest.raises(PackNotFound, match="installed: open"):
        PackFolder(packs_root).load("other")


@pytest.mark.parametrize("name", ["", "../open", "a/b", ".hidden"])
def test_name_that_is_no_name(packs_root: Path, name: str) -> None:
    """A name never leads out of the folder."""
    with pytest.raises(InvalidField):
        PackFolder(packs_root).manifest(name)


def test_folder_of_another_name(packs_root: Path) -> None:
    """A pack lies in the folder of its name."""
    (packs_root / "open").rename(packs_root / "copy")
    with pytest.raises(PackError, match="name it as its folder, 'copy'"):
        PackFolder(packs_root).load("copy")


def test_verify_reports_each_file(packs_root: Path) -> None:
    """A changed and a missing file are reported, the others stand as good."""
    with (packs_root / "open" / "rnet.onnx").open("ab") as stream:
        stream.write(b"!")
    (packs_root / "open" / "onet.onnx").unlink()
    packs = PackFolder(packs_root)
    problems = {report.path: report.problem for report in packs.verify("open")}
    assert problems.pop("rnet.onnx").startswith("has sha256")
    assert problems.pop("onet.onnx").startswith("is missing")
    assert problems == {"pnet.onnx": "", "dlib_resnet.onnx": ""}
    with pytest.raises(PackError, match=r"open/rnet\.onnx has sha256"):
        packs.load("open")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_size = 64": "input_size = 96"}, r"^mine, detector \(det\.onnx\) does not run as .*Got: 96"),
        ({"scrfd": "yunet"}, r"^mine, detector \(det\.onnx\): the model is no yunet"),
        ({"dimension = 64": "dimension = 65"}, r"^mine, embedder \(rec\.onnx\): .*dimension is 65"),
        ({"arcface-112": "arcface-128"}, "embedder: .*side is 112 and crops of arcface-128"),
        (
            {"arcface-112": "arcface-128", "side = 112": "side = 128"},
            r"^mine, embedder \(rec\.onnx\) does not run as .*Got: 128",
        ),
        ({"NCHW": "NHWC"}, r"embedder\.input\.layout"),
        (
            {'"genderage"': '"landmark_2d_106"'},
            r"^mine, landmark_2d_106 \(age\.onnx\): .* 212 numbers",
        ),
        ({"side = 96": "side = 192"}, r"^mine, genderage \(age\.onnx\) does not run as .*Got: 192"),
        ({"mask = false": "mask = true"}, r"^mine, detector \(det\.onnx\): .*remove detector\.mask"),
        ({'kind = "genderage"': 'kind = "smile"'}, r"attributes\.0\.kind"),
    ],
)
def test_manifest_that_is_not_of_its_files(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    """A manifest that says something else than its files do is refused when the pack is loaded."""
    write_scrfd(tmp_path / "det.onnx", side=64)
    write_table(tmp_path / "rec.onnx", 112, 64)
    write_table(tmp_path / "age.onnx", 96, 3)
    manifest = add_pack(tmp_path / "packs", "mine", tmp_path, licence="none", threshold=0.4) / "manifest.toml"
    text = manifest.read_text("utf-8")
    for right, wrong in changes.items():
        assert right in text
        text = text.replace(right, wrong)
    manifest.write_text(text, "utf-8")
    with pytest.raises(PackError, match=f"(?s){message}"):
        PackFolder(tmp_path / "packs").load("mine")


def test_models_of_attributes_are_verified(tmp_path: Path) -> None:
    """Their files count like any other of the pack, and there is one of a kind."""
    write_scrfd(tmp_path / "det.onnx", side=64)
    write_table(tmp_path / "rec.onnx", 112, 64)
    write_table(tmp_path / "age.onnx", 96, 3)
    folder, packs = tmp_path / "packs" / "mine", PackFolder(tmp_path / "packs")
    add_pack(tmp_path / "packs", "mine", tmp_path, licence="none", threshold=0.4)
    assert [report.path for report in packs.verify("mine")] == ["det.onnx", "rec.onnx", "age.onnx"]
    assert list(packs.load("mine").attributes) == ["genderage"]
    text = (folder / "manifest.toml").read_text("utf-8")
    again = text[text.index("[[attributes]]") : text.index("[thresholds.verify]")]
    (folder / "manifest.toml").write_text(text + again, "utf-8")
    with pytest.raises(PackError, match=r"attributes: .*two models are of one kind"):
        packs.load("mine")
    (folder / "manifest.toml").write_text(text, "utf-8")
    (folder / "age.onnx").write_bytes(b"changed")
    with pytest.raises(PackError, match=r"^mine/age\.onnx has sha256"):
        packs.load("mine")


def test_weights_outside_the_pack(packs_root: Path) -> None:
    """A model file that leads out of the pack's folder is refused, whatever its manifest says of it."""
    folder = packs_root / "open"
    path = with_external_weights(folder / "dlib_resnet.onnx", "../weights.bin")
    manifest = folder / "manifest.toml"
    before = PackFolder(packs_root).manifest("open").embedder.model.sha256
    after = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest.write_text(manifest.read_text("utf-8").replace(before, after), "utf-8")
    with pytest.raises(PackError, match=r"^open, embedder \(dlib_resnet\.onnx\): .*escapes model directory"):
        PackFolder(packs_root).load("open")
