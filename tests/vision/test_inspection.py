"""A model file is recognised by its inputs and outputs, or refused with its name and what was found."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from facegrid.vision.inspection import content_of, inspect_model
from facegrid.vision.manifest import PackError
from seeded import (
    save,
    with_external_weights,
    write_maps,
    write_priors,
    write_scrfd,
    write_table,
    write_yunet,
)


@pytest.mark.parametrize(
    ("write", "kind"),
    [
        (write_scrfd, "scrfd"),
        (lambda path, **side: write_scrfd(path, rank=3, **side), "scrfd"),
        (lambda path, **side: write_scrfd(path, strides=(8, 16, 32, 64, 128), **side), "scrfd"),
        (write_yunet, "yunet"),
        (write_maps, "retinaface"),
        (write_priors, "retinaface"),
    ],
)
@pytest.mark.parametrize("side", ["?", 256])
def test_detectors(tmp_path: Path, write: Callable[..., Path], kind: str, side: int | str) -> None:
    """Each kind and form of detector is told from the others, with its input's size fixed or not."""
    found = inspect_model(write(tmp_path / "m.onnx", side=side))
    assert (found.kind, found.side) == (kind, 256 if side == 256 else None)


@pytest.mark.parametrize(
    ("side", "length", "kind"),
    [
        (112, 512, "embedder"),
        (112, 64, "embedder"),
        (128, 2048, "embedder"),
        (96, 256, "embedder"),
        (192, 512, "embedder"),
        (96, 3, "genderage"),
        (192, 212, "landmark_2d_106"),
        (192, 3309, "landmark_3d_68"),
    ],
)
def test_models_of_one_table(tmp_path: Path, side: int, length: int, kind: str) -> None:
    """Embedders of any side, and the attribute models, are told by input and output together."""
    found = inspect_model(write_table(tmp_path / "m.onnx", side, length))
    assert (found.kind, found.side) == (kind, side)
    assert found.dimension == (length if kind == "embedder" else 0)


@pytest.mark.parametrize("normalises", [False, True])
def test_input_of_an_embedder(tmp_path: Path, normalises: bool) -> None:
    """A file that begins with its own normalisation is fed plain pixels, as insightface decides."""
    path = write_table(tmp_path / "m.onnx", 112, 64, normalises=normalises)
    found = inspect_model(path)
    assert (found.mean, found.std) == ((0, 1) if normalises else (127.5, 127.5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zoo = pytest.importorskip("insightface.model_zoo.arcface_onnx", exc_type=ImportError)
        reference = zoo.ArcFaceONNX(str(path))
    assert (found.mean, found.std) == (reference.input_mean, reference.input_std)


@pytest.mark.parametrize("first_node", ["", "Sub", "bn_data"])
@pytest.mark.parametrize(("side", "length"), [(96, 3), (192, 212), (192, 3309)])
def test_input_of_an_attribute_model(tmp_path: Path, first_node: str, side: int, length: int) -> None:
    """One that normalises for itself, be it in a node bn_data, is fed plain pixels as by insightface."""
    path = write_table(tmp_path / "m.onnx", side, length, normalises=first_node == "Sub")
    if first_node == "bn_data":
        model = onnx.load(path)
        model.graph.node[0].name = first_node
        onnx.save(model, path)
    found = inspect_model(path)
    assert (found.mean, found.std) == ((0, 1) if first_node else (127.5, 128))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name = "attribute" if side == 96 else "landmark"
        zoo = pytest.importorskip(f"insightface.model_zoo.{name}", exc_type=ImportError)
        reference = getattr(zoo, name.capitalize())(str(path))
    assert (found.mean, found.std) == (reference.input_mean, reference.input_std)


@pytest.mark.parametrize("masks", [False, True])
def test_detector_of_masks(tmp_path: Path, masks: bool) -> None:
    """RetinaFace's maps are recognised with and without those of masks."""
    found = inspect_model(write_maps(tmp_path / "m.onnx", masks=masks))
    assert (found.kind, found.mask) == ("retinaface", masks)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a model", r"^m\.onnx is not an ONNX model.*give another file"),
        (b"", r"^m\.onnx is not an ONNX model, it has no graph"),
    ],
)
def test_not_onnx(tmp_path: Path, content: bytes, message: str) -> None:
    """A file that is no ONNX model is named."""
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(PackError, match=message):
        inspect_model(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("write", "found"),
    [
        (lambda path: write_table(path, 112, 63), r"input is \?×3×112×112, its outputs are \?×63;"),
        (lambda path: write_table(path, 112, 2049), "2049"),
        (lambda path: write_table(path, "?", 512), r"input is \?×3×\?×\?"),
        (lambda path: write_scrfd(path, strides=(8, 16)), "1×?|4;"),
    ],
)
def test_unknown_shape(tmp_path: Path, write: Callable[[Path], Path], found: str) -> None:
    """A model of no known shape is named with the shapes that it has and those that are known."""
    with pytest.raises(PackError, match=rf"^m\.onnx is of no known kind.*{found}.*known are SCRFD"):
        inspect_model(write(tmp_path / "m.onnx"))


def identity(path: Path, operator: str = "Identity", domain: str = "", **changes: Any) -> onnx.ModelProto:
    """Write a model of one node and return it as it stands in the file."""
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3, 112, 112])
    save(
        path, [helper.make_node(operator, ["input"], ["y"], domain=domain)], ["N", 3, 112, 112], [output], []
    )
    model = onnx.load(path)
    if domain:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    for field, value in changes.items():
        model.graph.input[0].type.tensor_type.__setattr__(field, value)
    onnx.save(model, path)
    return model


def test_operator_that_the_runtime_lacks(tmp_path: Path) -> None:
    """An operator that ONNX Runtime does not know is named, with its file."""
    identity(tmp_path / "m.onnx", "Levitate", "another.maker")
    with pytest.raises(PackError, match=r"^m\.onnx does not load .*Levitate"):
        inspect_model(tmp_path / "m.onnx")


def test_input_of_half_precision(tmp_path: Path) -> None:
    """A model must take one float32 input."""
    identity(tmp_path / "m.onnx", elem_type=TensorProto.FLOAT16)
    with pytest.raises(PackError, match=r"^m\.onnx has the inputs input, and one of float32 is needed"):
        inspect_model(tmp_path / "m.onnx")


def test_weights_outside_the_folder(tmp_path: Path) -> None:
    """A model file never leads out of its folder."""
    folder = tmp_path / "models"
    folder.mkdir()
    path = with_external_weights(folder / "m.onnx", "../weights.bin")
    with pytest.raises(PackError, match=r"^m\.onnx keeps weights outside its folder, in \.\./weights\.bin"):
        inspect_model(path)


def test_weights_beside_the_model(tmp_path: Path) -> None:
    """Weights in the same folder are taken into one file, and missed where they are not there."""
    path = with_external_weights(tmp_path / "m.onnx", "weights.bin")
    assert inspect_model(path).kind == "embedder"
    whole = onnx.load_from_string(content_of(path))
    assert len(whole.graph.initializer[0].raw_data) == 4 * 64 * 3 * 16 * 16
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(PackError, match=r"^m\.onnx needs weights\.bin, which is missing"):
        inspect_model(path)


def test_content_is_left_as_it_is(tmp_path: Path) -> None:
    """A file that needs no other keeps every byte."""
    path = write_table(tmp_path / "m.onnx", 112, 64)
    assert content_of(path) == path.read_bytes()
    assert np.frombuffer(content_of(path), np.uint8).size > 64 * 3 * 16 * 16
