"""A server in its own process with an approximate gallery in Milvus, which can be tuned and audited."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from facegrid.client import Client
from facegrid.domain.calls import Call
from facegrid.gateway.server import GatewayServer
from facegrid.log import configure_log
from facegrid.metrics import Metrics
from facegrid.serving.engines import build_engine
from facegrid.serving.local import LocalRuntime
from facegrid.serving.stores import open_store
from facegrid.serving.wiring import Application, build_application
from facegrid.settings import Settings
from facegrid.storage.objects.files import FolderLock
from facegrid.v1 import types_pb2 as pb
from facegrid.v1.bulk_service_pb2 import ImportTemplatesRequest
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
        made = client.create_gallery(GALLERY, index=index, identify_threshold=THRESHOLD)
        batches = partial(_batches, templates)
        deque(client.bulk.import_templates(GALLERY, made.template_version, batches), maxlen=0)
    runtime.stop()
    asyncio.run(_serve(settings, f"unix:{folder}/socket", pipe))


def _batches(templates: int) -> Iterator[ImportTemplatesRequest]:
    source = TemplateSource(DIMENSION, per_subject=1)
    for first in range(0, templates, CHUNK):
        names = [str(first + number) for number in range(CHUNK)]
        vectors = source.chunk(first // CHUNK).astype("<f4")
        yield ImportTemplatesRequest(subject_ids=names, vectors=vectors.tobytes())
    yield ImportTemplatesRequest(total=templates)


async def _serve(settings: Settings, address: str, pipe: Connection) -> None:
    metrics = Metrics()
    with ExitStack() as stack:
        lock = stack.enter_context(FolderLock(settings.data))
        engine = stack.enter_context(closing(build_engine(settings, workers=1)))
        store = open_store(settings, lock)
        application = stack.enter_context(closing(build_application(settings, store, engine, metrics)))
        server = GatewayServer(application.servicers, settings.max_message_bytes, settings.max_calls, metrics)
        await application.recover()
        await server.start(address)
        await application.load()
        gallery = await application.galleries.get(GALLERY)
        await application.projection.ready(gallery)
        await application.index.build(gallery.gallery_id)
        pipe.send(gallery.gallery_id)
        while asked := await asyncio.to_thread(pipe.recv):
            pipe.send(await _answer(application, asked))
        await server.stop(0)


async def _answer(application: Application, asked: Effort | Audit) -> tuple[int, int] | None:
    if isinstance(asked, Effort):
        await application.galleries.set_search_parameters(GALLERY, asked.nprobe)
        return None
    found = await application.audit(Call("AuditGallery", "audit"), GALLERY, asked.sample, lambda _: None)
    return found.outcome.one.sought, found.outcome.one.missed
