"""Tells from an ONNX file's inputs and outputs what model it is, as InsightFace's model zoo does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from facegrid.vision.detectors.onepass import Shape, shapes_in_words
from facegrid.vision.manifest import PackError
from facegrid.vision.packs import ONE_PASS_DETECTORS
from facegrid.vision.session import Session

EMBEDDER = "embedder"
DETECTORS = tuple(ONE_PASS_DETECTORS)

_DIMENSIONS = range(64, 2049)
# InsightFace's models of one table: (side of the input, length of the output).
_ATTRIBUTES = {(96, 3): "genderage", (192, 212): "landmark_2d_106", (192, 3309): "landmark_3d_68"}
_HEAD = 8  # nodes in which InsightFace looks for a normalisation of the model's own
_FIRST_NORM = "bn_data"  # or, for attribute models, this name among the first three
_KNOWN = (
    "SCRFD or RetinaFace with five landmarks, YuNet, an embedder with a square input and 64 to 2048 numbers, "
    "genderage, 2d106det and 1k3d68"
)


@dataclass(frozen=True, slots=True)
class InspectedModel:
    """What a file holds: `kind` is a detector's kind, "embedder", or one of the attribute models.

    `side` is that of the square input in pixels, None where the file leaves it open. `dimension` is the
    length of an embedder's output. Pixels go in as (pixel - mean) / std; a detector has its kind's own.
    `mask` says whether a detector states the probability of a mask.
    """

    path: Path
    kind: str
    side: int | None
    dimension: int = 0
    mean: float = 0.0
    std: float = 1.0
    mask: bool = False


def inspect_model(path: Path) -> InspectedModel:
    """Read a model file and load it once. Raises PackError that names the file and what was found."""
    model = _read(path)
    source = _input_shape(path, model)
    outputs = Session(path, threads=1).output_shapes
    if source[1:2] == (3,) and len(source) == len("NCHW") and source[2] == source[3]:
        for kind, detector in ONE_PASS_DETECTORS.items():
            if detector.levels(outputs):
                return InspectedModel(path, kind, source[2], mask=detector.states_mask(outputs))
        if (
            source[2]
            and [len(shape) for shape in outputs] == [len("NC")]
            and (found := _of_one_table(path, model, source[2], outputs[0][1] or 0))
        ):
            return found
    raise _unknown(path, source, outputs)


def content_of(path: Path) -> bytes:
    """Return a model file as one that needs no other: weights beside it are taken in."""
    if any(_external_tensors(onnx.load(path, load_external_data=False))):
        return bytes(onnx.load(path).SerializeToString())
    return path.read_bytes()


def _of_one_table(path: Path, model: onnx.ModelProto, side: int, length: int) -> InspectedModel | None:
    kind = _ATTRIBUTES.get((side, length)) or (EMBEDDER if length in _DIMENSIONS else "")
    if not kind:
        return None
    names = [node.name for node in model.graph.node[:_HEAD]]
    normalises = all(
        any(name.startswith(prefixes) for name in names) for prefixes in (("Sub", "_minus"), ("Mul", "_mul"))
    )
    if kind == EMBEDDER:
        mean, std = (0.0, 1.0) if normalises else (127.5, 127.5)
        return InspectedModel(path, kind, side, length, mean, std)
    mean, std = (0.0, 1.0) if normalises or _FIRST_NORM in names[:3] else (127.5, 128.0)
    return InspectedModel(path, kind, side, mean=mean, std=std)


def _read(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own, which has no name here
        raise PackError(f"{path.name} is not an ONNX model; give another file ({error})") from error
    if not model.graph.node:
        raise PackError(f"{path.name} is not an ONNX model, it has no graph; give another file")
    folder = path.parent.resolve()
    for tensor in _external_tensors(model):
        location = ExternalDataInfo(tensor).location
        weights = (folder / location).resolve()
        if not weights.is_relative_to(folder):
            raise PackError(
                f"{path.name} keeps weights outside its folder, in {location}; save the model as one file"
            )
        if not weights.is_file():
            raise PackError(f"{path.name} needs {location}, which is missing; put it beside the model")
    return model


def _external_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    constants = (attribute.t for node in model.graph.node for attribute in node.attribute)
    return (
        tensor
        for some in (model.graph.initializer, constants)
        for tensor in some
        if uses_external_data(tensor)
    )


def _input_shape(path: Path, model: onnx.ModelProto) -> Shape:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        names = ", ".join(value.name for value in inputs) or "none"
        raise PackError(
            f"{path.name} has the inputs {names}, and one of float32 is needed; known are {_KNOWN}"
        )
    return tuple(
        axis.dim_value if axis.dim_value > 0 else None for axis in inputs[0].type.tensor_type.shape.dim
    )


def _unknown(path: Path, source: Shape, outputs: Sequence[Shape]) -> PackError:
    return PackError(
        f"{path.name} is of no known kind: its input is {shapes_in_words([source])}, its outputs are "
        f"{shapes_in_words(outputs)}; known are {_KNOWN}"
    )
