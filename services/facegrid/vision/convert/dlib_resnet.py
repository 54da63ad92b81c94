"""dlib's face-recognition ResNet (Davis King, CC0) as an ONNX model, from its serialized weights."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from facegrid.domain.faces import Floats
from facegrid.vision.manifest import PackError

_IR_VERSION = 8
_OPSET = 17
_SIDE = 150
_DIMENSION = 128
# Stages of the network: channels, and how many plain residual blocks follow the one that halves.
_STEM = (32, 3)
_STAGES = ((64, 3), (128, 2), (256, 2), (256, 0))


def resnet_model(weights: bytes) -> bytes:
    """Return the ONNX model: `input` float32 (N, 3, 150, 150) to `features` (N, 128).

    Pixels are RGB, minus the mean, divided by 256. Raises PackError where the weights are of another net.
    """
    network = _Network(_Parameters(weights))
    graph = helper.make_graph(
        network.build(),
        "dlib_face_recognition_resnet_v1",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, _SIDE, _SIDE])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", _DIMENSION])],
        network.constants,
    )
    model = helper.make_model(
        graph,
        producer_name="facegrid",
        ir_version=_IR_VERSION,
        opset_imports=[helper.make_opsetid("", _OPSET)],
    )
    return model.SerializeToString(deterministic=True)


class _Parameters:
    """Reads tensors in the order of the layers.

    A tensor is 1, 2 (dlib's mark and version), four sizes as (byte count, little-endian), then float32.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def take(self, *shape: int) -> Floats:
        """Return the next tensor whose header states this shape, missing sizes being 1."""
        sizes = (*shape, 1, 1, 1)[:4]
        header = b"\x01\x02" + b"".join(_packed(size) for size in sizes)
        at, count = self._data.find(header, self._offset), math.prod(shape)
        end = at + len(header) + 4 * count
        if at < 0 or end > len(self._data):
            raise PackError("the weights are not those of dlib's face recognition ResNet v1")
        self._offset = end
        return np.frombuffer(self._data, "<f4", count, at + len(header)).reshape(shape)


def _packed(size: int) -> bytes:
    length = (size.bit_length() + 7) // 8
    return bytes([length]) + size.to_bytes(length, "little")


@dataclass(slots=True)
class _Tensor:
    """A value in the graph, with the shape that it has for one picture."""

    name: str
    channels: int
    side: int


@dataclass(slots=True)
class _Network:
    """Appends nodes while it walks through the layers."""

    parameters: _Parameters
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def build(self) -> list[onnx.NodeProto]:
        """Return the nodes from input to features."""
        x = self._relu(self._convolution(_Tensor("input", 3, _SIDE), _STEM[0], kernel=7, stride=2, pad=0))
        x = self._add(
            "MaxPool", [x.name], x.channels, _pooled(x.side, 3), kernel_shape=[3, 3], strides=[2, 2]
        )
        for _ in range(_STEM[1]):
            x = self._residual(x)
        for channels, plain in _STAGES:
            x = self._halving(x, channels)
            for _ in range(plain):
                x = self._residual(x)
        x = self._add("GlobalAveragePool", [x.name], x.channels, 1)
        x = self._add("Flatten", [x.name], x.channels, 1)
        matrix = self._constant(self.parameters.take(x.channels, _DIMENSION))
        self.nodes.append(helper.make_node("MatMul", [x.name, matrix], ["features"]))
        return self.nodes

    def _residual(self, x: _Tensor) -> _Tensor:
        inner = self._relu(self._convolution(x, x.channels, kernel=3, stride=1, pad=1))
        inner = self._convolution(inner, x.channels, kernel=3, stride=1, pad=1)
        return self._sum(inner, x)

    def _halving(self, x: _Tensor, channels: int) -> _Tensor:
        inner = self._relu(self._convolution(x, channels, kernel=3, stride=2, pad=0))
        inner = self._convolution(inner, channels, kernel=3, stride=1, pad=1)
        side = _pooled(x.side, 2)
        shortcut = self._add("AveragePool", [x.name], x.channels, side, kernel_shape=[2, 2], strides=[2, 2])
        return self._sum(inner, shortcut)

    def _convolution(self, x: _Tensor, channels: int, *, kernel: int, stride: int, pad: int) -> _Tensor:
        """Append a convolution with the affine layer that follows it folded in."""
        count = channels * x.channels * kernel * kernel
        filters, biases = np.split(self.parameters.take(count + channels), [count])
        gamma, beta = np.split(self.parameters.take(2 * channels), 2)
        folded = filters.reshape(channels, x.channels, kernel, kernel) * gamma[:, None, None, None]
        names = [x.name, self._constant(folded), self._constant(biases * gamma + beta)]
        side = (x.side + 2 * pad - kernel) // stride + 1
        return self._add("Conv", names, channels, side, strides=[stride, stride], pads=[pad] * 4)

    def _sum(self, one: _Tensor, other: _Tensor) -> _Tensor:
        """Append sum and ReLU; dlib adds tensors of different size as if the smaller ended in zeros."""
        channels, side = max(one.channels, other.channels), max(one.side, other.side)
        padded = [self._padded(x, channels, side).name for x in (one, other)]
        return self._relu(self._add("Add", padded, channels, side))

    def _padded(self, x: _Tensor, channels: int, side: int) -> _Tensor:
        more = side - x.side
        if (x.channels, more) == (channels, 0):
            return x
        ends = self._constant(np.array([0, 0, 0, 0, 0, channels - x.channels, more, more], np.int64))
        return self._add("Pad", [x.name, ends], channels, side)

    def _relu(self, x: _Tensor) -> _Tensor:
        return self._add("Relu", [x.name], x.channels, x.side)

    def _add(self, kind: str, inputs: list[str], channels: int, side: int, **attributes: Any) -> _Tensor:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return _Tensor(name, channels, side)

    def _constant(self, values: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name


def _pooled(side: int, kernel: int) -> int:
    return (side - kernel) // 2 + 1
