"""A server in its own process whose one gallery is generated: the usual composition, with other records."""

import asyncio
import hashlib
import re
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from facegrid.client import Client
from facegrid.domain.galleries import Gallery, IndexRows
from facegrid.domain.labels import NO_LABELS
from facegrid.log import configure_log
from facegrid.serving.local import LocalRuntime
from facegrid.serving.packs import build_open_pack
from facegrid.serving.wiring import Application, build_application
from facegrid.settings import Settings
from templates import CHUNK, TemplateSource

DIMENSION = 512
GALLERY, PACK = "bench", "wide"
_SIDE = 150


@dataclass(frozen=True, slots=True)
class Filling:
    """What the gallery holds: `templates` of them, `per_subject` a subject."""

    templates: int
    per_subject: int


def serve(folder: Path, filling: Filling, pipe: Connection) -> None:
    """Fill the index, send the seconds that it took, and serve until the pipe says "stop".

    "add" adds rows until the next word, and answers how many a second.
    """
    configure_log(json=False, quiet=True)
    settings = Settings(data=folder / "data", models=folder / "models", pack=PACK)
    build_wide_pack(settings.models)
    runtime = LocalRuntime(settings)
    with Client(runtime.start()) as client:
        client.create_gallery(GALLERY)
    runtime.stop()
    asyncio.run(_serve(settings, f"unix:{folder}/socket", filling, pipe))


async def _serve(settings: Settings, address: str, filling: Filling, pipe: Connection) -> None:
    with closing(build_application(settings)) as application:
        generated = GeneratedRows(filling)
        application.records.rows = generated.rows  # type: ignore[method-assign]  # the rest is the real one
        await application.recover()
        await application.server.start(address)
        start = time.perf_counter()
        await application.load()
        pipe.send(time.perf_counter() - start - generated.seconds)
        gallery = await application.galleries.get(GALLERY)
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, pipe.recv) == "add":
            pipe.send(await _add_until_told(application, gallery, filling, pipe))
        await application.server.stop(None)


async def _add_until_told(
    application: Application, gallery: Gallery, filling: Filling, pipe: Connection
) -> float:
    """Add the same 10,000 rows again and again; return the rows added a second."""
    vectors, start, added = TemplateSource(DIMENSION, filling.per_subject).chunk(0), time.perf_counter(), 0
    while not pipe.poll():
        await application.index.add(gallery.gallery_id, _rows(vectors, 0, "more", 1))
        added += len(vectors)
    pipe.recv()
    return added / (time.perf_counter() - start)


class GeneratedRows:
    """Records' rows, made and not read; `seconds` is what making them took."""

    def __init__(self, filling: Filling) -> None:
        """Take what to make."""
        self._filling, self.seconds = filling, 0.0

    async def rows(self, _: Gallery) -> AsyncIterator[tuple[IndexRows, int]]:
        """Yield all rows in batches of 10,000."""
        source = TemplateSource(DIMENSION, self._filling.per_subject)
        for first in range(0, self._filling.templates, CHUNK):
            start = time.perf_counter()
            vectors = source.chunk(first // CHUNK)[: self._filling.templates - first]
            rows = _rows(vectors, first, "", self._filling.per_subject)
            self.seconds += time.perf_counter() - start
            yield rows, 1


def _rows(vectors: np.ndarray, first: int, prefix: str, per_subject: int) -> IndexRows:
    numbers = range(first, first + len(vectors))
    return IndexRows(
        [f"{prefix}{number // per_subject:032}" for number in numbers],
        [f"{prefix}{number:032}" for number in numbers],
        [0] * len(vectors),
        vectors,
        [NO_LABELS] * len(vectors),
    )


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
