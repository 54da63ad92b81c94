"""A manifest is complete and right, or the error says which key to change and how."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facegrid.domain.packs import NormQuality, ThresholdSource
from facegrid.vision.manifest import Manifest, PackError, read_manifest

Change = Callable[[dict[str, Any]], object]


def toml(value: Any) -> str:
    """Write a value as inline TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(inner) for inner in value) + "]"
    return str(value).lower() if isinstance(value, bool | float | int) else f'"{value}"'


def read(folder: Path, data: dict[str, Any]) -> Manifest:
    """Write a manifest and read it."""
    path = folder / "manifest.toml"
    path.write_text("\n".join(f"{key} = {toml(value)}" for key, value in data.items()), "utf-8")
    return read_manifest(path)


def test_open_pack(tmp_path: Path, manifest_data: dict[str, Any]) -> None:
    """The open pack's manifest says what the platform needs of a pack."""
    pack = read(tmp_path, manifest_data).pack
    assert (pack.name, pack.dimension, pack.alignment) == ("open", 128, "dlib-150")
    assert pack.template_version.startswith("open-")
    assert len(pack.template_version) == len("open-") + 16
    assert pack.thresholds.identify.value >= pack.thresholds.verify.value
    assert pack.thresholds.verify.source is ThresholdSource.PACK_DEFAULT


def test_norms_that_tell_quality_are_stated(tmp_path: Path, manifest_data: dict[str, Any]) -> None:
    """They reach the pack without moving its template version; where nothing is stated there are none."""
    plain = read(tmp_path, manifest_data).pack
    manifest_data["embedder"]["norm_quality"] = {"low": 7.0, "high": 17, "source": "this test"}
    stated = read(tmp_path, manifest_data).pack
    assert (plain.norm_quality, stated.norm_quality) == (None, NormQuality(7, 17))
    assert stated.template_version == plain.template_version


def one_pass(input_size: object) -> Callable[[dict[str, Any]], None]:
    """Return a change of a manifest: a detector of one file with this input size."""

    def change(data: dict[str, Any]) -> None:
        model = data["detector"]["pnet"]
        data["detector"] = {"kind": "scrfd", "model": model, "input_size": input_size}

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("licence"), r"manifest\.toml: licence: add this key"),
        (lambda data: data.update(licence=""), "licence: .*correct"),
        (lambda data: data.update(colour="RGB"), "colour: remove this key or correct its spelling"),
        (lambda data: data.update(schema_version=2), "schema_version: .*1.*correct"),
        (lambda data: data.update(name="../open"), "name"),
        (lambda data: data.update(name="x" * 120), "name"),
        (lambda data: data.update(name=7), "name: .*string"),
        (
            lambda data: data["detector"].update(kind="yolo"),
            "detector: .*'scrfd', 'retinaface', 'yunet', 'mtcnn'",
        ),
        (lambda data: data["detector"].update(kind="scrfd"), r"detector\.pnet: remove this key"),
        (lambda data: data["detector"].update(kind="yunet"), r"detector\.model: add this key"),
        (lambda data: data["detector"].update(kind="retinaface"), r"detector\.score_threshold: add this key"),
        (lambda data: data["embedder"].update(alignment="arcface-0"), "embedder: .*side in pixels"),
        (
            lambda data: data["embedder"].update(norm_quality={"low": 7, "high": 7, "source": "x"}),
            r"embedder\.norm_quality: .*high is 7\.0, not above low",
        ),
        (lambda data: data["detector"].update(input_size=640.5), r"detector\.input_size: .*integer"),
        (one_pass(640.5), r"detector\.input_size: .*640\.5 is neither an integer nor \[width, height\]"),
        (one_pass([640, 350]), r"detector\.input_size: .*multiple of 32"),
        (one_pass([640, 0]), r"detector\.input_size: .*multiple of 32"),
        (lambda data: data["detector"].update(smallest_face=11), r"detector\.smallest_face: .*12"),
        (lambda data: data["detector"].update(score_thresholds=[0.5, 0.5]), r"detector\.score_thresholds"),
        (
            lambda data: data["detector"].update(score_thresholds=[0.5, 0.5, "1"]),
            r"score_thresholds\.2: .*number",
        ),
        (lambda data: data["detector"]["onet"].pop("sha256"), r"detector\.onet\.sha256: add this key"),
        (lambda data: data["embedder"]["model"].update(sha256="ab"), r"embedder\.model\.sha256"),
        (lambda data: data["embedder"]["model"].update(path="../m.onnx"), r"embedder\.model\.path"),
        (lambda data: data["embedder"]["model"].update(path="/etc/m.onnx"), r"embedder\.model\.path"),
        (lambda data: data["embedder"].update(alignment="dlib"), r"embedder: .*'dlib-150'"),
        (lambda data: data["embedder"].update(alignment="arcface-112"), r"embedder: .*side is 150.*112"),
        (lambda data: data["embedder"].update(dimension=64), r"embedder: .*128 of 64 numbers"),
        (lambda data: data["embedder"].update(dimension=True), r"embedder\.dimension: .*integer"),
        (lambda data: data["embedder"]["input"].update(colour="GRAY"), r"embedder\.input\.colour"),
        (lambda data: data["embedder"]["input"].update(std=0.0), r"embedder\.input\.std: .*greater than 0"),
        (lambda data: data["embedder"]["input"].update(std=float("nan")), r"embedder\.input\.std: .*finite"),
        (lambda data: data["embedder"]["centre"].pop("source"), r"embedder\.centre\.source: add this key"),
        (lambda data: data["thresholds"]["verify"].update(value=1.5), r"thresholds\.verify\.value: .*1"),
        (lambda data: data["thresholds"].pop("identify"), r"thresholds\.identify: add this key"),
    ],
)
def test_wrong_key(tmp_path: Path, manifest_data: dict[str, Any], change: Change, message: str) -> None:
    """A missing, unknown or wrong key is named together with the remedy."""
    change(manifest_data)
    with pytest.raises(PackError, match=message):
        read(tmp_path, manifest_data)


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe"])
def test_not_toml(tmp_path: Path, content: bytes) -> None:
    """A file that is no TOML is named."""
    (tmp_path / "manifest.toml").write_bytes(content)
    with pytest.raises(PackError, match=r"manifest\.toml is not readable as TOML"):
        read_manifest(tmp_path / "manifest.toml")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["embedder"]["model"].update(sha256="0" * 64),
        lambda data: data["embedder"]["input"].update(colour="BGR"),
        lambda data: data["embedder"]["input"].update(std=255.0),
        lambda data: data["embedder"]["centre"]["values"].__setitem__(0, 0.5),
        lambda data: data["embedder"].pop("centre"),
    ],
)
def test_what_moves_templates_changes_their_version(
    tmp_path: Path, manifest_data: dict[str, Any], change: Change
) -> None:
    """Weights, input contract and centre are part of the template version."""
    before = read(tmp_path, manifest_data).template_version
    change(manifest_data)
    assert read(tmp_path, manifest_data).template_version != before


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["thresholds"]["verify"].update(value=0.7),
        lambda data: data["detector"].update(input_size=640),
        lambda data: data.update(licence="another"),
    ],
)
def test_what_does_not_move_templates_keeps_their_version(
    tmp_path: Path, manifest_data: dict[str, Any], change: Change
) -> None:
    """Thresholds, the detector and texts are not: stored templates stay comparable."""
    before = read(tmp_path, manifest_data).template_version
    change(manifest_data)
    assert read(tmp_path, manifest_data).template_version == before
