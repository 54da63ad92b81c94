"""An embedder is fed what its manifest says and gives templates of its pack's version."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from facegrid.vision.embedder import OnnxEmbedder
from facegrid.vision.manifest import EmbedderManifest, PackError
from facegrid.vision.session import Session

MEAN = (10.0, 20.0, 30.0)


@pytest.fixture(scope="module")
def channel_means(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Return a model whose features are the means of its input's three channels; its batch is fixed at 1."""
    path = tmp_path_factory.mktemp("models") / "means.onnx"
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["features"]),
        ],
        "means",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, 3])],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return Session(path, threads=1)


def manifest(colour: str = "RGB", dimension: int = 3, centre: list[float] | None = None) -> EmbedderManifest:
    """Return the manifest of such a model."""
    described: dict[str, Any] = {
        "kind": "onnx",
        "model": {"path": "means.onnx", "sha256": "0" * 64, "licence": "none", "source": "this test"},
        "input": {"layout": "NCHW", "colour": colour, "side": 112, "mean": list(MEAN), "std": 4.0},
        "alignment": "arcface-112",
        "dimension": dimension,
    }
    if centre is not None:
        described["centre"] = {"values": centre, "source": "this test"}
    return EmbedderManifest.model_validate(described)


def crops(*colours: tuple[int, int, int]) -> np.ndarray:
    """Return one plain crop for each colour."""
    return np.stack([np.full((112, 112, 3), colour, np.uint8) for colour in colours])


@pytest.mark.parametrize(("colour", "expected"), [("RGB", (50, 20, -5)), ("BGR", (0, 20, 45))])
def test_input_contract(channel_means: Session, colour: str, expected: tuple[float, ...]) -> None:
    """Channels come in the order of the contract, minus their means, divided by its std."""
    embedder = OnnxEmbedder(channel_means, manifest(colour), "v")
    features = embedder.features(crops((210, 100, 10), (10, 20, 30)))
    np.testing.assert_allclose(features[0], expected, rtol=1e-4)
    assert features.shape == (2, 3)


def test_templates(channel_means: Session) -> None:
    """A template is centred, normalised, and keeps its norm and version."""
    embedder = OnnxEmbedder(channel_means, manifest(centre=[20.0, 20.0, 0.0]), "pack-1")
    first, second = embedder.embed(crops((210, 100, 46), (90, 100, 230)))
    np.testing.assert_allclose(first.vector, (30 / 30.265, 0, 4 / 30.265), atol=1e-4)
    np.testing.assert_allclose(second.vector, (0, 0, 1), atol=1e-4)
    assert first.norm == pytest.approx(30.265, abs=1e-3)
    assert {first.version, second.version} == {"pack-1"}


def test_no_crops(channel_means: Session) -> None:
    """A photograph without faces gives no templates."""
    assert OnnxEmbedder(channel_means, manifest(), "v").embed(np.empty((0, 112, 112, 3), np.uint8)) == []


def test_model_of_another_dimension(channel_means: Session) -> None:
    """A model that does not give what the manifest says is refused."""
    with pytest.raises(PackError, match=r"means\.onnx has outputs of shape .* embedder\.dimension is 512"):
        OnnxEmbedder(channel_means, manifest(dimension=512), "v")
