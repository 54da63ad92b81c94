"""A server in its own process, filled with generated templates."""

import hashlib
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from facegrid.client import Client
from facegrid.serving.packs import build_open_pack
from facegrid.v1.bulk_service_pb2 import ImportTemplatesRequest
from server import running
from templates import CHUNK, TemplateSource

DIMENSION = 512
GALLERY, PACK = "bench", "wide"
_SIDE = 150
_ROWS_A_MESSAGE = 1000


@dataclass(frozen=True, slots=True)
class Filling:
    """What the gallery holds: `templates` of them, `per_subject` a subject."""

    templates: int
    per_subject: int


@dataclass(frozen=True, slots=True)
class FilledServer:
    """A server with its gallery; `seconds` is what the import took, `start_s` its start from the disk."""

    pid: int
    client: Client
    seconds: float
    start_s: float
    disk_bytes: int


@contextmanager
def filled_server(folder: Path, filling: Filling, **settings: str) -> Iterator[FilledServer]:
    """Import the templates into a server of its own, and start it again."""
    build_wide_pack(folder / "models")
    settings["data"] = str(folder / "data")
    with (
        running(folder / "models", PACK, **settings) as server,
        Client(server.address) as client,
    ):
        client.create_gallery(GALLERY)
        start = time.perf_counter()
        import_templates(client, filling)
        seconds = time.perf_counter() - start
    start = time.perf_counter()
    with (
        running(folder / "models", PACK, **settings) as server,
        Client(server.address) as client,
    ):
        ready = time.perf_counter() - start
        disk = sum(file.stat().st_size for file in (folder / "data").rglob("*") if file.is_file())
        yield FilledServer(server.pid, client, seconds, ready, disk)


def import_templates(client: Client, filling: Filling, prefix: str = "") -> None:
    """Add the templates of a filling, subjects being named by their number behind a prefix."""
    source = TemplateSource(DIMENSION, filling.per_subject)

    def batches() -> Iterator[ImportTemplatesRequest]:
        for first in range(0, filling.templates, CHUNK):
            vectors = source.chunk(first // CHUNK)[: filling.templates - first]
            for start in range(0, len(vectors), _ROWS_A_MESSAGE):
                part = vectors[start : start + _ROWS_A_MESSAGE]
                numbers = range(first + start, first + start + len(part))
                yield ImportTemplatesRequest(
                    subject_ids=[f"{prefix}{number // filling.per_subject:032}" for number in numbers],
                    vectors=part.astype("<f4").tobytes(),
                )

    version = client.get_gallery(GALLERY).template_version
    for _ in client.bulk.import_templates(GALLERY, version, batches):
        pass


def build_wide_pack(models: Path) -> None:
    """Make the open pack again with an embedder of 512 numbers, which no search by template runs."""
    folder = models / PACK
    shutil.copytree(build_open_pack(models), folder)
    embedder = folder / "dlib_resnet.onnx"
    old = hashlib.sha256(embedder.read_bytes()).hexdigest()
    onnx.save(_wide_embedder(), embedder)
    manifest = (folder / "manifest.toml").read_text()
    manifest = re.sub(r"\[embedder\.centre\].*?\]\n", "", manifest, flags=re.DOTALL)
    for before, after in (
        ('name = "open"', f'name = "{PACK}"'),
        ("dimension = 128", f"dimension = {DIMENSION}"),
        (old, hashlib.sha256(embedder.read_bytes()).hexdigest()),
    ):
        manifest = manifest.replace(before, after)
    (folder / "manifest.toml").write_text(manifest)


def _wide_embedder() -> onnx.ModelProto:
    """Return a model of the mean colour, times random numbers."""
    weights = np.random.default_rng(0).standard_normal((3, DIMENSION)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["x"], ["mean"], axes=[2, 3], keepdims=0),
            helper.make_node("MatMul", ["mean", "weights"], ["y"]),
        ],
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, _SIDE, _SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", DIMENSION])],
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
