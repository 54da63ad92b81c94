"""A folder of ONNX files becomes a pack that loads, or an error that says what is wrong with it."""

import hashlib
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facegrid.domain.attributes import Attribute
from facegrid.domain.errors import InvalidField
from facegrid.vision.adding import add_pack
from facegrid.vision.align import align
from facegrid.vision.manifest import PackError, read_manifest
from facegrid.vision.packs import PackFolder
from seeded import write_maps, write_priors, write_scrfd, write_table, write_yunet


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder like one of InsightFace's packs."""
    folder = tmp_path / "given"
    folder.mkdir()
    write_scrfd(folder / "det.onnx", side=64)
    write_table(folder / "rec.onnx", 112, 64)
    write_table(folder / "genderage.onnx", 96, 3)
    write_table(folder / "2d106det.onnx", 192, 212)
    write_table(folder / "1k3d68.onnx", 192, 3309)
    (folder / "readme.txt").write_text("models")
    return folder


def add(folder: Path, **changes: Any) -> Path:
    """Add the folder as "mine" beside it."""
    options = {"licence": 'research "only"', "threshold": 0.4, **changes}
    return add_pack(folder.parent / "packs", options.pop("name", "mine"), folder, **options)


def test_pack(folder: Path) -> None:
    """The pack holds the models and nothing else, and its manifest says of them what the files say."""
    added = add(folder)
    packs = PackFolder(added.parent)
    manifest = packs.manifest("mine")
    held = {path.name for path in added.iterdir() if path.suffix != ".batchable"}
    assert held == {path.name for path in folder.glob("*.onnx")} | {"manifest.toml"}
    assert [path.name for path in added.parent.iterdir()] == ["mine"]
    assert (manifest.detector.kind, manifest.detector.input_size) == ("scrfd", 64)
    assert (manifest.embedder.alignment, manifest.embedder.dimension) == ("arcface-112", 64)
    assert manifest.embedder.input.mean == (127.5, 127.5, 127.5)
    assert manifest.licence == manifest.embedder.model.licence == 'research "only"'
    assert manifest.thresholds.identify.value == manifest.thresholds.verify.value == 0.4
    assert manifest.thresholds.verify.source == "given when the pack was added"
    digest = hashlib.sha256((folder / "rec.onnx").read_bytes()).hexdigest()
    assert manifest.embedder.model.sha256 == digest
    assert packs.load("mine").pack == manifest.pack
    assert manifest.pack.attributes == {
        Attribute.AGE: "box-96",
        Attribute.GENDER_PRESENTATION: "box-96",
        Attribute.LANDMARKS_106: "box-192",
        Attribute.LANDMARKS_68: "box-192",
        Attribute.POSE: "box-192",
    }
    assert [(one.mean, one.std) for one in manifest.attributes] == [(127.5, 128)] * 3


def test_attributes_do_not_move_templates(folder: Path) -> None:
    """A pack without models of attributes makes templates of the same version and reads nothing."""
    with_models = PackFolder(add(folder).parent).manifest("mine")
    for name in ("genderage", "2d106det", "1k3d68"):
        (folder / f"{name}.onnx").unlink()
    shutil.rmtree(folder.parent / "packs")
    without = PackFolder(add(folder).parent).manifest("mine")
    assert without.template_version == with_models.template_version
    assert without.pack.attributes == {}


def test_detector_of_masks(folder: Path) -> None:
    """A detector that states masks offers them without another model."""
    write_maps(folder / "det.onnx", side=64, masks=True)
    packs = PackFolder(add(folder).parent)
    assert packs.manifest("mine").pack.attributes[Attribute.MASK] == ""
    assert packs.load("mine").detector.detect(np.full((64, 64, 3), 200, np.uint8))[0].mask is not None


@pytest.mark.parametrize(
    ("write", "kind"), [(write_yunet, "yunet"), (write_maps, "retinaface"), (write_priors, "retinaface")]
)
def test_kinds_of_detector(folder: Path, write: Callable[[Path], Path], kind: str) -> None:
    """A detector of any kind serves; one with an open size gets 640 pixels."""
    write(folder / "det.onnx")
    manifest = PackFolder(add(folder).parent).manifest("mine")
    assert (manifest.detector.kind, manifest.detector.input_size) == (kind, 640)


@pytest.mark.parity
def test_real_files(assets: Path, tmp_path: Path) -> None:
    """Of InsightFace's own files it makes the manifest that a person wrote by hand."""
    given = tmp_path / "given"
    given.mkdir()
    for name in ("scrfd_2.5g_bnkps.onnx", "mobilefacenet_arcface_128.onnx"):
        shutil.copy(assets / "models" / name, given)
    found = PackFolder(add(given, name="insightface").parent).manifest("insightface")
    by_hand = read_manifest(Path(__file__).parents[2] / "loadtests" / "insightface.toml")
    assert found.template_version == by_hand.template_version
    assert found.detector.model_dump(exclude={"model"}) == by_hand.detector.model_dump(exclude={"model"})
    assert [file.sha256 for file in found.files] == [file.sha256 for file in by_hand.files]


@pytest.mark.parity
@pytest.mark.parametrize(("side", "normalises"), [(112, True), (128, False), (224, False), (256, True)])
def test_embedding_as_insightface_does(
    folder: Path, astronaut: NDArray[np.uint8], side: int, normalises: bool
) -> None:
    """An embedder of any of insightface's sizes gets insightface's crop and gives its features.

    insightface computes the transform in single precision: here and there a value rounds to its neighbour.
    """
    path = write_table(folder / "rec.onnx", side, 64, normalises=normalises)
    packs = PackFolder(add(folder).parent)
    landmarks = np.float32([[201, 112], [247, 107], [229, 138], [211, 162], [248, 158]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zoo = pytest.importorskip("insightface.model_zoo.arcface_onnx", exc_type=ImportError)
        crop = zoo.face_align.norm_crop(astronaut, landmarks, side)
        expected = zoo.ArcFaceONNX(str(path)).get_feat(np.ascontiguousarray(crop[..., ::-1]))
    ours = align(astronaut, landmarks, packs.manifest("mine").embedder.crop)
    apart = np.abs(ours.astype(int) - crop)
    assert apart.max() <= 1
    assert np.count_nonzero(apart) < apart.size / 10_000
    np.testing.assert_allclose(packs.load("mine").embedder.features(crop[None]), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "det.onnx").unlink(), r"one detector and has 0; .*rec\.onnx \(embedder\)"),
        (lambda folder: (folder / "rec.onnx").unlink(), r"one embedder and has 0; .*det\.onnx \(scrfd\)"),
        (lambda folder: write_table(folder / "b.onnx", 128, 512), r"one embedder and has 2; .*b\.onnx"),
        (
            lambda folder: write_table(folder / "b.onnx", 96, 3),
            r"one genderage and has 2; .*b\.onnx \(genderage\).*genderage\.onnx \(genderage\)",
        ),
        (lambda folder: write_yunet(folder / "b.onnx"), r"one detector and has 2; .*b\.onnx \(yunet\)"),
        (lambda folder: (folder / "b.onnx").write_bytes(b"?"), r"^b\.onnx is not an ONNX model"),
        (lambda folder: write_table(folder / "b.onnx", 80, 3), r"^b\.onnx is of no known kind"),
        (lambda folder: write_scrfd(folder / "det.onnx", side=48), r"detector\.input_size: .*multiple of 32"),
        (lambda folder: (folder / "rec.onnx").rename(folder / "a b.onnx"), r"embedder\.model\.path"),
    ],
)
def test_folder_that_makes_no_pack(folder: Path, spoil: Callable[[Path], object], message: str) -> None:
    """What is missing, too much or unknown is named, and nothing is left behind."""
    spoil(folder)
    with pytest.raises(PackError, match=message):
        add(folder)
    packs = folder.parent / "packs"
    assert not packs.exists() or list(packs.iterdir()) == []


def test_empty_folder(tmp_path: Path) -> None:
    """A folder without models says so."""
    (tmp_path / "given").mkdir()
    with pytest.raises(PackError, match=r"has 0; it holds no \*\.onnx file"):
        add(tmp_path / "given")


@pytest.mark.parametrize(
    ("changes", "message"), [({"licence": ""}, "licence"), ({"threshold": 1.5}, r"thresholds\.verify\.value")]
)
def test_wrong_argument(folder: Path, changes: dict[str, Any], message: str) -> None:
    """A licence and a threshold that a manifest may not have are refused."""
    with pytest.raises(PackError, match=message):
        add(folder, **changes)


def test_names(folder: Path) -> None:
    """A name that leads elsewhere or is taken is refused."""
    with pytest.raises(InvalidField, match="pack is"):
        add(folder, name="../mine")
    add(folder)
    with pytest.raises(PackError, match="'mine' is there already"):
        add(folder)
