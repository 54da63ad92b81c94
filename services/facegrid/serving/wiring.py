"""Every part, made once and given what it needs."""

import asyncio
import os
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import structlog

from facegrid.domain.attributes import Attribute
from facegrid.domain.detection import DetectionMode, DetectionOptions
from facegrid.domain.errors import ConfigurationError, FacegridError, PackNotFound, Unavailable
from facegrid.gateway.face_servicer import FaceServicer
from facegrid.gateway.gallery_servicer import GalleryServicer
from facegrid.gateway.identity_servicer import IdentityServicer
from facegrid.gateway.maintenance_servicer import MaintenanceServicer
from facegrid.gateway.server import NEED_A_STORE, GatewayServer, Servicers
from facegrid.identity.analyze import Analyze
from facegrid.identity.audit import AuditGallery
from facegrid.identity.catching_up import CatchUp
from facegrid.identity.check import CheckGallery
from facegrid.identity.compaction import Compact
from facegrid.identity.compare import Compare
from facegrid.identity.duplicates import FindDuplicates
from facegrid.identity.enroll import Enroll
from facegrid.identity.extract import Extract
from facegrid.identity.galleries import Galleries
from facegrid.identity.identify import Identify
from facegrid.identity.ports import AttributeReader, Detector, Embedder, Index, Packs
from facegrid.identity.probing import Trials
from facegrid.identity.projection import Projection
from facegrid.identity.rebuild import RebuildIndex
from facegrid.identity.subjects import Subjects
from facegrid.identity.tune import TuneGallery
from facegrid.identity.verify import Verify
from facegrid.identity.watching import WatchSearches
from facegrid.identity.writes import Writes
from facegrid.metrics import Metrics
from facegrid.serving.memory import return_freed_memory
from facegrid.serving.stores import OpenStore
from facegrid.settings import Settings
from facegrid.storage.indexes.milvus import MilvusIndex
from facegrid.storage.indexes.milvus_connection import MilvusOptions
from facegrid.storage.indexes.resident import ResidentIndex
from facegrid.storage.records.records import StoredRecords
from facegrid.vision.decode import PhotographLimits
from facegrid.vision.device import choose_device, usable_cores
from facegrid.vision.engine import BATCHES, VisionEngine
from facegrid.vision.packs import PackFolder

_WATCH_S = 2
_LOWEST_PRIORITY = 19  # on Linux, of this thread alone
# The layers of small models give more threads than these little to share.
_MOST_RUN_THREADS = 4


class Vision(Packs, Detector, Embedder, AttributeReader, Protocol):
    """All that models are asked for, wherever they run."""

    async def warm(self, pack: str) -> None:
        """Make ready for a pack's first call. Raises PackNotFound and ConfigurationError."""
        ...


@dataclass(frozen=True, slots=True)
class Application:
    """The parts that a runtime starts and stops."""

    server: GatewayServer
    galleries: Galleries
    vision: Vision
    records: StoredRecords
    index: Index
    compact: Compact
    catch_up: CatchUp
    audit: AuditGallery
    watch_searches: WatchSearches
    metrics: Metrics
    threads: Executor
    default_pack: str

    async def recover(self) -> None:
        """Do what must be done before the first call: the default pack loads, and no deletion is half done.

        Raises ConfigurationError.
        """
        check_pack(self.vision, self.default_pack)
        try:
            await self.vision.warm(self.default_pack)
            await self.galleries.recover()
        except Unavailable as error:
            raise ConfigurationError(error.message) from None

    async def watch(self) -> None:
        """Say for ever which services have their store and index: detection and comparison need none."""
        had_store = True
        while True:
            await asyncio.sleep(_WATCH_S)
            has_store = await self._has_store()
            if has_store is not had_store:
                structlog.get_logger().warning("object store and index", answer=has_store)
                await self.server.set_serving(serving=has_store, services=NEED_A_STORE)
            had_store = has_store

    async def _has_store(self) -> bool:
        try:
            await self.records.check()
            await self.index.check()
        except (FacegridError, ConfigurationError):
            return False
        return True

    async def load(self) -> None:
        """Load the galleries' packs and fill their indexes, then say SERVING. Raises ConfigurationError.

        A gallery whose records are damaged does not keep the others from being served.
        """
        try:
            for pack in await self.galleries.packs():
                await self.vision.warm(pack)
            for name, error in (await self.galleries.fill()).items():
                structlog.get_logger().error("gallery not loaded", gallery=name, cause=str(error))
        except Unavailable as error:
            raise ConfigurationError(error.message) from None
        await self.server.set_serving(serving=True)

    def close(self) -> None:
        """Stop the threads of the adapters."""
        self.threads.shutdown()
        self.records.close()
        self.index.close()


def check_pack(packs: Packs, name: str) -> None:
    """Raise ConfigurationError where the default pack is not installed."""
    try:
        packs.pack(name)
    except PackNotFound as error:
        build = "; build it with: facegrid models build open" if name == "open" else ""
        raise ConfigurationError(f"{error.message}{build}") from None


def build_engine(settings: Settings, workers: int) -> VisionEngine:
    """Make what runs models in this process; `workers` is how many CPUs it may use."""
    return_freed_memory(workers)
    device = choose_device(settings.device, half_precision=settings.half_precision)
    structlog.get_logger().info("models run on", device=device.kind, cores=workers)
    return VisionEngine(
        PackFolder(settings.models, threads=min(workers, _MOST_RUN_THREADS), device=device),
        PhotographLimits(settings.max_photograph_bytes, settings.max_photograph_pixels),
        workers=workers,
        batches=BATCHES[device.kind],
        smallest_face_px=settings.smallest_face_px,
    )


def build_application(settings: Settings, store: OpenStore, vision: Vision) -> Application:
    """Compose the service of an object store and models. Raises ConfigurationError."""
    records = StoredRecords(store.objects, store.connections)
    index = _index(settings)
    detection = DetectionOptions(DetectionMode(settings.detection), any_rotation=settings.any_rotation)
    extract = Extract(vision, vision, vision, settings.pack, settings.smallest_face_px, detection=detection)
    projection, writes = Projection(records, index), Writes(settings.max_calls)
    galleries = Galleries(records, projection, extract, writes)
    threads = ThreadPoolExecutor(1, "audit", os.nice, (_LOWEST_PRIORITY,))
    trials = Trials(records, projection, threads)
    audit = AuditGallery(galleries, projection, trials)
    watch_searches, metrics = WatchSearches(projection, trials, settings.audit_share), Metrics()
    metrics.watch(watch_searches.galleries)
    servicers = Servicers(
        FaceServicer(
            extract, Compare(extract), Analyze(galleries, extract, vision, _allowed(settings.attributes))
        ),
        GalleryServicer(galleries, Subjects(galleries, records, projection, writes)),
        IdentityServicer(
            Enroll(galleries, extract, records, projection, writes),
            Verify(galleries, extract, records, projection),
            Identify(galleries, extract, projection, watch_searches),
            metrics,
        ),
        MaintenanceServicer(
            audit,
            TuneGallery(galleries, projection, trials),
            RebuildIndex(galleries, projection),
            CheckGallery(galleries, records, projection, writes),
            FindDuplicates(galleries, records, projection, threads, by_search=bool(settings.milvus)),
        ),
    )
    server = GatewayServer(servicers, settings.max_message_bytes, settings.max_calls, metrics)
    compact = Compact(galleries, records, projection, writes, settings.compact_after)
    return Application(
        server,
        galleries,
        vision,
        records,
        index,
        compact,
        CatchUp(projection, writes),
        audit,
        watch_searches,
        metrics,
        threads,
        settings.pack,
    )


def _allowed(names: str) -> list[Attribute]:
    if names == "all":
        return list(Attribute)
    try:
        return [Attribute(name.strip()) for name in names.split(",") if name.strip()]
    except ValueError:
        known = ", ".join(attribute.value for attribute in Attribute)
        raise ConfigurationError(
            f"FACEGRID_ATTRIBUTES is {names!r}; set it to 'all', or to some of: {known}"
        ) from None


def _index(settings: Settings) -> Index:
    if not settings.milvus:
        return ResidentIndex(workers=usable_cores())
    options = MilvusOptions(
        settings.milvus_token.get_secret_value(),
        settings.milvus_database,
        settings.milvus_ca,
        settings.milvus_server_name,
        settings.milvus_replicas,
        settings.milvus_shards,
        settings.milvus_consistency,
        settings.milvus_timeout_s,
    )
    return MilvusIndex(settings.milvus, options)
