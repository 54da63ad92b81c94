"""Small ONNX files of the shapes that face models have, with random weights of a seed."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

Axis = int | str | None


class Head(NamedTuple):
    """One output of a detector: `width` numbers for each of the boxes of a cell."""

    name: str
    stride: int
    width: int
    boxes: int
    bend: str = "Identity"  # the operator that brings it into its range


def write_scrfd(path: Path, *, strides: Sequence[int] = (8, 16, 32), side: Axis = "?", rank: int = 2) -> Path:
    """Write SCRFD's distance heads: two boxes a cell on three strides, else one."""
    boxes = 2 if len(strides) == 3 else 1
    bends = {1: "Sigmoid", 4: "Softplus", 10: "Identity"}
    heads = [Head(f"{w}_{s}", s, w, boxes, bend) for w, bend in bends.items() for s in strides]
    return write_heads(path, heads, side=side, rank=rank)


def write_yunet(path: Path, *, side: Axis = "?") -> Path:
    """Write YuNet's twelve heads, named as OpenCV asks for them."""
    kinds = (("cls", 1, "Sigmoid"), ("obj", 1, "Sigmoid"), ("bbox", 4, "Identity"), ("kps", 10, "Identity"))
    heads = [Head(f"{name}_{s}", s, w, 1, bend) for name, w, bend in kinds for s in (8, 16, 32)]
    return write_heads(path, heads, side=side, rank=3, gain=1 / 512)


def write_maps(path: Path, *, side: Axis = "?", masks: bool = False) -> Path:
    """Write RetinaFace's strided heads, the coarsest stride first; with those of masks last of a stride."""
    bends = {2: "Sigmoid", 4: "Identity", 10: "Identity"} | ({3: "Sigmoid"} if masks else {})
    heads = [Head(f"{w}_{s}", s, w, 2, bend) for s in (32, 16, 8) for w, bend in bends.items()]
    return write_heads(path, heads, side=side, rank=4, gain=1 / 512)


def write_heads(path: Path, heads: Sequence[Head], *, side: Axis, rank: int, gain: float = 1.0) -> Path:
    """Write a model with one convolution a head: tables of rank 2 or 3, or maps of rank 4.

    The sum of a filter is positive, so that the black beside a photograph scores low and ties with nothing.
    """
    random, nodes, constants, outputs = np.random.default_rng(7), [], [], []
    for head in heads:
        step, channels = head.stride, head.width * head.boxes
        weights = random.normal(0, gain / step, (channels, 3, step, step))
        weights *= np.sign(weights.sum(axis=(1, 2, 3), keepdims=True))
        shape = np.array([1, -1, head.width][3 - rank :] if rank < 4 else [0, 0, 0, 0], np.int64)
        constants += [
            numpy_helper.from_array(weights.astype(np.float32), f"{head.name}.w"),
            numpy_helper.from_array(shape, f"{head.name}.shape"),
        ]
        raw, order, table = (f"{head.name}.{part}" for part in ("raw", "order", "table"))
        nodes += [
            helper.make_node("Conv", ["input", f"{head.name}.w"], [raw], strides=[step, step]),
            helper.make_node("Transpose", [raw], [order], perm=[0, 1, 2, 3] if rank == 4 else [0, 2, 3, 1]),
            helper.make_node("Reshape", [order, f"{head.name}.shape"], [table]),
            helper.make_node(head.bend, [table], [head.name]),
        ]
        known = {2: [None, head.width], 3: [1, None, head.width], 4: [1, channels, None, None]}[rank]
        outputs.append(helper.make_tensor_value_info(head.name, TensorProto.FLOAT, known))
    return save(path, nodes, [1, 3, side, side], outputs, constants)


def write_priors(path: Path, *, side: Axis = "?") -> Path:
    """Write RetinaFace's three tables over prior boxes, the scores in pairs that sum to one."""
    random, nodes, constants, outputs = np.random.default_rng(7), [], [], []
    for name, width in (("loc", 4), ("conf", 2), ("landms", 10)):
        constants.append(numpy_helper.from_array(np.array([1, -1, width], np.int64), f"{name}.shape"))
        for step in (8, 16, 32):
            weights = random.normal(0, 0.005 / step, (2 * width, 3, step, step)).astype(np.float32)
            constants.append(numpy_helper.from_array(weights, f"{name}.w{step}"))
            raw, order = f"{name}.raw{step}", f"{name}.order{step}"
            nodes += [
                helper.make_node("Conv", ["input", f"{name}.w{step}"], [raw], strides=[step, step]),
                helper.make_node("Transpose", [raw], [order], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [order, f"{name}.shape"], [f"{name}.{step}"]),
            ]
        joined = [f"{name}.{step}" for step in (8, 16, 32)]
        nodes.append(helper.make_node("Concat", joined, [f"{name}.all"], axis=1))
        last = helper.make_node("Softmax", [f"{name}.all"], [name], axis=2)
        nodes.append(last if width == 2 else helper.make_node("Identity", [f"{name}.all"], [name]))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, width]))
    return save(path, nodes, [1, 3, side, side], outputs, constants)


def write_table(path: Path, side: Axis, length: int, *, normalises: bool = False, batch: Axis = "N") -> Path:
    """Write an embedder or attribute model: one row of numbers of a coarse view of its input."""
    random = np.random.default_rng(length)
    weights = random.normal(0, 0.05, (length, 3, 16, 16)).astype(np.float32)
    constants = [numpy_helper.from_array(weights, "w")]
    nodes = []
    if normalises:
        constants += [
            numpy_helper.from_array(np.array(value, np.float32), name)
            for name, value in (("mean", 127.5), ("factor", 1 / 128))
        ]
        nodes += [
            helper.make_node("Sub", ["input", "mean"], ["centred"], name="Sub_0"),
            helper.make_node("Mul", ["centred", "factor"], ["scaled"], name="_mulscalar0"),
        ]
    nodes += [
        helper.make_node("Conv", ["scaled" if normalises else "input", "w"], ["view"], strides=[16, 16]),
        helper.make_node("Tanh", ["view"], ["bent"]),
        helper.make_node("GlobalMaxPool", ["bent"], ["best"]),
        helper.make_node("Flatten", ["best"], ["output"]),
    ]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, [batch, length])]
    return save(path, nodes, [batch, 3, side, side], outputs, constants)


def with_external_weights(path: Path, location: str) -> Path:
    """Write an embedder whose weights lie in another file."""
    model = onnx.load(write_table(path, 112, 64))
    (weights,) = model.graph.initializer
    (path.parent / location).write_bytes(weights.raw_data)
    set_external_data(weights, location)
    weights.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())
    return path


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    shape: Sequence[Axis],
    outputs: list[onnx.ValueInfoProto],
    constants: list[onnx.TensorProto],
) -> Path:
    """Write a graph with one input and return its path."""
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, path.stem, [source], outputs, constants)
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path
