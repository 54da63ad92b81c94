"""Weights that an ONNX file keeps in other files."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import onnx
from onnx.external_data_helper import ExternalDataInfo, uses_external_data


def external_weights(model: onnx.ModelProto) -> list[str]:
    """Return the files, relative to the model's, in which weights of a model lie, each once."""
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    tensors = [*_of_graph(model.graph), *_of_nodes(nodes)]
    return sorted({ExternalDataInfo(tensor).location for tensor in tensors if uses_external_data(tensor)})


def weights_elsewhere(path: Path) -> list[str]:
    """Return the same for a file; nothing for one that is no ONNX model."""
    with suppress(Exception):  # protobuf's own error, which has no name here
        return external_weights(onnx.load(path, load_external_data=False))
    return []


def content_of(path: Path) -> bytes:
    """Return a model file as one that needs no other: weights beside it are taken in."""
    if weights_elsewhere(path):
        return bytes(onnx.load(path).SerializeToString())
    return path.read_bytes()


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)


def _of_nodes(nodes: list[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors, attribute.sparse_tensor.values)
        for graph in (attribute.g, *attribute.graphs):  # the bodies of loops and branches
            yield from _of_graph(graph)
            yield from _of_nodes(list(graph.node))
