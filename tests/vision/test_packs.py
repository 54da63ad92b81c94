"""A folder of packs lists, checks and loads them."""

import shutil
from pathlib import Path

import pytest

from facegrid.domain.errors import InvalidField, PackNotFound
from facegrid.vision.manifest import PackError
from facegrid.vision.packs import PackFolder


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
