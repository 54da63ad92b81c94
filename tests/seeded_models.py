"""Small ONNX files with random weights, in the shapes in which detectors and embedders are published."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def save(
    path: Path, nodes: list[Any], inputs: list[Any], outputs: dict[str, list[Any]], **weights: Any
) -> Path:
    """Write a model whose input is `x` and whose constants are the weights."""
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def embedder(path: Path, *, side: int = 112, dimension: int = 8) -> Path:
    """Write a convolution with a final reshape to (1, -1), its batch fixed at one."""
    filters = np.random.default_rng(1).standard_normal((dimension, 3, side, side)).astype(np.float32) / side
    nodes = [
        helper.make_node("Conv", ["x", "filters"], ["y"]),
        helper.make_node("Reshape", ["y", "sizes"], ["features"]),
    ]
    sizes = np.array([1, -1], np.int64)
    return save(path, nodes, [1, 3, side, side], {"features": [1, dimension]}, filters=filters, sizes=sizes)


def embedder_of_black(path: Path, *, side: int, dimension: int) -> Path:
    """Write an embedder that runs on a black crop, as a pack does when it loads, and fails on any other."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["brightest"], keepdims=0),
        helper.make_node("ReduceMin", ["x"], ["darkest"], keepdims=0),
        helper.make_node("Sub", ["brightest", "darkest"], ["contrast"]),
        helper.make_node("Add", ["contrast", "contrast"], ["twice"]),  # 0.2 where black is centred, else 2
        helper.make_node("Floor", ["twice"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["row"], to=TensorProto.INT64),
        helper.make_node("Gather", ["rows", "row"], ["chosen"]),
        helper.make_node("Reshape", ["chosen", "sizes"], ["features"]),
    ]
    rows, sizes = np.ones((1, dimension), np.float32), np.array([1, dimension], np.int64)
    return save(path, nodes, [1, 3, side, side], {"features": [1, dimension]}, rows=rows, sizes=sizes)


def scrfd(path: Path, batch: int | str = 1) -> Path:
    """Write nine heads at strides 8, 16 and 32, each flattened to rows with the batch behind the picture."""
    random = np.random.default_rng(2)
    nodes, outputs, weights = [], {}, {}
    for kind, width in (("score", 1), ("box", 4), ("points", 10)):
        weights[f"sizes_{kind}"] = np.array([-1, width], np.int64)
        for stride in (8, 16, 32):
            name = f"{kind}_{stride}"
            filters = random.standard_normal((2 * width, 3, stride, stride)) / stride
            weights[f"filters_{name}"] = filters.astype(np.float32)
            nodes += [
                helper.make_node("Conv", ["x", f"filters_{name}"], [f"{name}_c"], strides=[stride, stride]),
                helper.make_node("Transpose", [f"{name}_c"], [f"{name}_t"], perm=[2, 3, 0, 1]),
                helper.make_node("Reshape", [f"{name}_t", f"sizes_{kind}"], [f"{name}_r"]),
                helper.make_node("Sigmoid", [f"{name}_r"], [name]),
            ]
            outputs[name] = ["rows", width]
    return save(path, nodes, [batch, 3, "height", "width"], outputs, **weights)


def batch_mean(path: Path, batch: int | str = 1) -> Path:
    """Write a model that mixes the items of a batch, so that no rewrite can make it right."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Mul", ["x", "mean"], ["y"]),
    ]
    return save(path, nodes, [batch, 3], {"y": [batch, 3]})
