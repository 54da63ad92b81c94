"""A bad model file is refused when its pack is loaded, with its name and what to do; never at a request."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facegrid.domain.errors import Overloaded
from facegrid.vision.convert.batchable import batchable
from facegrid.vision.manifest import PackError
from facegrid.vision.packs import PackFolder
from facegrid.vision.session import Session, _remedy
from seeded import save, with_external_weights, write_table

Write = Callable[[Path], object]


@pytest.fixture
def root(open_pack_root: Path, tmp_path: Path) -> Path:
    """Return a folder with a copy of the open pack."""
    shutil.copytree(open_pack_root, tmp_path, dirs_exist_ok=True)
    return tmp_path


def put(root: Path, write: Write, name: str = "dlib_resnet.onnx") -> PackFolder:
    """Write another file in a model's place and its sha256 into the manifest."""
    file, manifest = root / "open" / name, root / "open" / "manifest.toml"
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    write(file)
    after = hashlib.sha256(file.read_bytes()).hexdigest()
    manifest.write_text(manifest.read_text("utf-8").replace(before, after), "utf-8")
    return PackFolder(root)


def node(operator: str, *, domain: str = "", opset: int = 17, ir_version: int = 8) -> Write:
    """Return a writer of a model of one node."""

    def write(path: Path) -> None:
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, 150, 150]) for name in "xy"]
        one = helper.make_node(operator, ["x"], ["y"], domain=domain)
        graph = helper.make_graph([one], "g", values[:1], values[1:])
        opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
        path.write_bytes(
            helper.make_model(graph, ir_version=ir_version, opset_imports=opsets).SerializeToString()
        )

    return write


def hungry(path: Path) -> None:
    """Write an embedder that needs a thousand terabytes to run."""
    constants: list[Any] = [
        numpy_helper.from_array(np.array(sizes, np.int64), name)
        for name, sizes in {"row": [0, -1], "many": [1 << 48, 1], "axes": [1, 2, 3], "wide": [1, 128]}.items()
    ]
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Reshape", ["mean", "row"], ["one"]),
        helper.make_node("Expand", ["one", "many"], ["all"]),
        helper.make_node("ReduceMean", ["all"], ["again"], axes=[0], keepdims=1),
        helper.make_node("Expand", ["again", "wide"], ["output"]),
    ]
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 128])
    save(path, nodes, ["N", 3, 150, 150], [output], constants)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b"not a model"), "does not load as an ONNX model; copy or build"),
        (lambda path: path.write_bytes(b""), "does not load as an ONNX model; copy or build"),
        (node("Levitate"), "needs an operator or opset that ONNX Runtime .* lacks; install a newer"),
        (node("Relu", domain="another.maker"), "needs an operator or opset"),
        (node("Relu", opset=99), "needs an operator or opset"),
        (node("Relu", ir_version=99), "needs an operator or opset"),
        (node("Relu"), "outputs of shape .*dimension is 128; correct the manifest or give the model"),
        (lambda path: write_table(path, 112, 128), "does not run as the manifest says; .*Expected: 112"),
        (hungry, "does not fit into the device's memory; free some"),
    ],
    ids=["text", "empty", "operator", "domain", "opset", "ir", "shape", "side", "memory"],
)
def test_bad_embedder(root: Path, write: Write, message: str) -> None:
    """Whatever is wrong with a file, the error names it and a remedy."""
    with pytest.raises(PackError, match=rf"(?s)^open, embedder \(dlib_resnet\.onnx\).*{message}"):
        put(root, write).load("open")


@pytest.mark.parametrize("stage", ["rnet.onnx", "onet.onnx"])
def test_stage_that_a_picture_without_a_face_never_reaches(root: Path, stage: str) -> None:
    """MTCNN's later stages are run as well before any request comes."""
    packs = put(root, lambda path: shutil.copy(root / "open" / "pnet.onnx", path), stage)
    with pytest.raises(PackError, match=r"^open, detector \(pnet.onnx, rnet.onnx, onet.onnx\): .* outputs"):
        packs.load("open")


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin"])
def test_weights_in_another_file(root: Path, location: str) -> None:
    """A file that needs another is refused: the manifest's sha256 says nothing of that one."""
    packs = put(root, lambda path: with_external_weights(path, location))
    with pytest.raises(PackError, match=r"^open/dlib_resnet\.onnx keeps weights in .*facegrid models add"):
        packs.load("open")
    reports = {report.path: report.problem for report in packs.verify("open")}
    assert "keeps weights in" in reports["dlib_resnet.onnx"]


def test_weights_that_a_branch_keeps_in_another_file(root: Path) -> None:
    """So is one whose weights lie inside a branch of its graph."""

    def write(path: Path) -> None:
        inner = onnx.load(
            with_external_weights(root / "inner.onnx", "weights.bin"), load_external_data=False
        ).graph
        nodes = [helper.make_node("If", ["input"], ["output"], then_branch=inner, else_branch=inner)]
        save(path, nodes, ["N"], list(inner.output), [])

    with pytest.raises(PackError, match=r"keeps weights in weights\.bin"):
        put(root, write).load("open")


def test_pack_without_a_detector(root: Path) -> None:
    """A manifest that names no detector says which key is missing."""
    manifest = root / "open" / "manifest.toml"
    text = manifest.read_text("utf-8")
    manifest.write_text(text[: text.index("[detector]")] + text[text.index("[embedder]") :], "utf-8")
    with pytest.raises(PackError, match=r"^open/manifest\.toml: detector: add this key"):
        PackFolder(root).load("open")


def test_rewritten_file_that_somebody_changed(root: Path) -> None:
    """`verify` names it; loading the pack makes it again."""
    packs = put(root, lambda path: write_table(path, 150, 128, batch=1))
    cache = batchable(root / "open" / "dlib_resnet.onnx")
    assert isinstance(cache, Path)
    good = cache.read_bytes()
    cache.write_bytes(write_table(root / "other.onnx", 150, 128).read_bytes())
    problems = {report.path: report.problem for report in packs.verify("open") if report.problem}
    assert problems == {cache.name: "was changed after it was made; remove it, and it is made again"}
    packs.load("open")
    assert cache.read_bytes() == good
    assert not any(report.problem for report in packs.verify("open"))


@pytest.mark.parametrize("words", ["CUDA failure 2: out of memory", "CUDNN_STATUS_ALLOC_FAILED"])
def test_device_that_is_full_while_a_file_is_loaded(words: str) -> None:
    """What CUDA and its libraries say of it becomes a remedy."""
    assert _remedy(RuntimeError(words)).startswith("does not fit into the device's memory; free some")


def test_device_that_is_full_while_a_request_runs(root: Path) -> None:
    """The request may be retried: others that run beside it give their memory back."""
    hungry(root / "m.onnx")
    with pytest.raises(Overloaded, match=r"no memory left .* retry"):
        Session(root / "m.onnx", threads=1).run(np.zeros((1, 3, 150, 150), np.float32))
