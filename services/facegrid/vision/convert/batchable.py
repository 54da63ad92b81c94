"""Rewrites an ONNX model that takes one item so that it takes a batch; its file stays as it is."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from facegrid.domain.faces import Floats
from facegrid.vision.convert.derived import keep, kept

_FATAL_ONLY = 4  # a trial that fails is no news
# What a free axis, such as a picture's height, is for the trial: a multiple of every detector's stride.
_FREE_AXIS = 64
# A share of the largest value: above what another order of sums changes, far below what a wrong row does.
_TOLERANCE = 1e-4
_HEIGHT_WIDTH_BATCH_CHANNELS = [2, 3, 0, 1]
_BATCH_HEIGHT_WIDTH_CHANNELS = [0, 2, 3, 1]


def batchable(path: Path) -> Path | bytes | None:
    """Return what to load so that a batch gives what its items give one by one.

    That is the file itself, or its rewritten form, or None where neither stands the trial: two random
    items, together and alone. The rewritten form is kept beside the file, and in memory alone where the
    folder cannot be written. Raises what ONNX Runtime raises for a broken file.
    """
    if cache := kept(path, "batchable"):
        return cache
    original = _session(path)
    if _stands_trial(original, original):
        return path
    with suppress(Exception):  # a graph of a kind that the rewrite does not know runs one by one
        rewritten = _rewritten(path)
        if _stands_trial(_session(rewritten), original):
            return keep(path, "batchable", rewritten)
    return None


def _session(model: Path | bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _stands_trial(candidate: onnxruntime.InferenceSession, original: onnxruntime.InferenceSession) -> bool:
    """Return whether the candidate gives for a batch what the original gives for its items one by one."""
    source = candidate.get_inputs()[0]
    if isinstance(source.shape[0], int):
        return False
    shape = [axis if isinstance(axis, int) else _FREE_AXIS for axis in source.shape[1:]]
    items = np.random.default_rng(0).standard_normal((2, 1, *shape)).astype(np.float32)
    try:
        together = candidate.run(None, {source.name: items[:, 0]})
        alone = [original.run(None, {source.name: item}) for item in items]
        return all(_same(batch, ones) for batch, ones in zip(together, zip(*alone, strict=True), strict=True))
    except Exception:  # noqa: BLE001  # whatever fails on a batch is no model for batches
        return False


def _same(batch: Floats, ones: tuple[Floats, ...]) -> bool:
    if batch.size != sum(one.size for one in ones):
        return False
    expected = np.stack([one.ravel() for one in ones])
    return np.allclose(
        batch.reshape(expected.shape), expected, rtol=0, atol=_TOLERANCE * np.abs(expected).max()
    )


def _rewritten(path: Path) -> bytes:
    """Return the model with a free batch axis.

    Where the graph moves the batch behind the picture's axes and flattens all of them into rows, as
    SCRFD's heads do, the batch stays in front: outputs (rows, width) become (batch, rows, width).
    """
    import onnx  # noqa: PLC0415  # takes long to import and few models need it

    model = onnx.load(path)
    graph = model.graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    constants |= {
        node.output[0]: onnx.numpy_helper.to_array(node.attribute[0].t)
        for node in graph.node
        if node.op_type == "Constant" and node.attribute[0].name == "value"
    }
    flattened = [name for node in graph.node if (name := _move_batch_to_front(node))]
    for node in graph.node:
        if node.op_type == "Reshape" and node.input[1] in constants and node.input[0] not in constants:
            sizes = _batch_sizes(constants[node.input[1]].tolist(), after_move=node.input[0] in flattened)
            name = f"{node.output[0]}/batchable"
            graph.initializer.append(onnx.numpy_helper.from_array(np.array(sizes, np.int64), name))
            node.input[1] = name
    source = next(value for value in graph.input if value.name not in constants)
    source.type.tensor_type.shape.dim[0].dim_param = "batch"
    for output in graph.output:  # ONNX Runtime infers the shapes again
        output.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    content: bytes = model.SerializeToString()
    return content


def _move_batch_to_front(node: Any) -> str:
    """Return the output's name of a transposition that put the batch behind the picture, now before it."""
    orders = [attribute.ints for attribute in node.attribute]
    if node.op_type != "Transpose" or orders != [_HEIGHT_WIDTH_BATCH_CHANNELS]:
        return ""
    node.attribute[0].ints[:] = _BATCH_HEIGHT_WIDTH_CHANNELS
    return str(node.output[0])


def _batch_sizes(sizes: list[int], *, after_move: bool) -> list[int]:
    """Return a reshape's sizes with the batch, which is 0 (as it comes), in place of the one item."""
    if after_move and sizes[0] == -1:
        return [0, *sizes]
    return [0, *sizes[1:]] if sizes[0] == 1 else sizes
