"""A server in its own process with an approximate gallery in Milvus, which can be tuned and audited."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from facegrid.client import Client
from facegrid.domain.calls import Call
from facegrid.log import configure_log
from facegrid.serving.local import LocalRuntime
from facegrid.serving.stores import open_store
from facegrid.serving.wiring import Application, build_application, build_engine
from facegrid.settings import Settings
from facegrid.storage.objects.files import FolderLock, LocalObjectStore
from facegrid.storage.records.bulk import Columns
from facegrid.storage.records.records import StoredRecords
from facegrid.v1 import types_pb2 as pb
from gallery_server import DIMENSION, GALLERY, PACK, build_wide_pack
from templates import CHUNK, TemplateSource

THRESHOLD = 0.45


@dataclass(frozen=True, slots=True)
class Effort:
    """Let searches read so many lists; answered with nothing."""

    nprobe: int


@dataclass(frozen=True, slots=True)
class Audit:
    """Audit the gallery with so many probes; answered with the mates found and those missed."""

    sample: int


def serve(folder: Path, milvus: str, templates: int, pipe: Connection) -> None:
    """Make the gallery, send its id when it can be searched, and do what the pipe asks for until None."""
    configure_log(json=False, quiet=True)
    settings = Settings(data=folder / "data", models=folder / "models", pack=PACK, milvus=milvus)
    build_wide_pack(settings.models)
    runtime = LocalRuntime(settings)
    with Client(runtime.start()) as client:
        index = pb.IndexSettings(method=pb.SEARCH_METHOD_APPROXIMATE, nprobe=1)
        client.create_gallery(GALLERY, index=index, identify_threshold=THRESHOLD)
    runtime.stop()
    asyncio.run(_import(settings, templates))
    asyncio.run(_serve(settings, f"unix:{folder}/socket", pipe))


async def _import(settings: Settings, templates: int) -> None:
    with closing(StoredRecords(LocalObjectStore(settings.data / "objects"), workers=1)) as records:
        gallery = await records.gallery(GALLERY)
        await records.import_templates(gallery, Call("Import", "import"), 1, _columns(templates))


def _columns(templates: int) -> Iterator[Columns]:
    source = TemplateSource(DIMENSION, per_subject=1)
    for first in range(0, templates, CHUNK):
        vectors = source.chunk(first // CHUNK)
        yield Columns([str(first + number) for number in range(CHUNK)], vectors, np.ones(CHUNK, np.float32))


async def _serve(settings: Settings, address: str, pipe: Connection) -> None:
    with ExitStack() as stack:
        lock = stack.enter_context(FolderLock(settings.data))
        engine = stack.enter_context(closing(build_engine(settings, workers=1)))
        store = open_store(settings, lock)
        application = stack.enter_context(closing(build_application(settings, store, engine)))
        await application.recover()
        await application.server.start(address)
        await application.load()
        gallery = await application.galleries.get(GALLERY)
        await application.index.build(gallery.gallery_id)
        pipe.send(gallery.gallery_id)
        while asked := await asyncio.to_thread(pipe.recv):
            pipe.send(await _answer(application, asked))
        await application.server.stop(None)


async def _answer(application: Application, asked: Effort | Audit) -> tuple[int, int] | None:
    if isinstance(asked, Effort):
        await application.galleries.set_search_parameters(GALLERY, asked.nprobe)
        return None
    found = await application.audit(Call("AuditGallery", "audit"), GALLERY, asked.sample, lambda _: None)
    return found.outcome.one.sought, found.outcome.one.missed
