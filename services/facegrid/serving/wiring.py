"""Every part, made once and given what it needs."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import structlog

from facegrid.domain.attributes import Attribute
from facegrid.domain.detection import DetectionMode, DetectionOptions
from facegrid.domain.errors import ConfigurationError, FacegridError, PackNotFound
from facegrid.gateway.access import AccessControl
from facegrid.gateway.bulk_servicer import BulkServicer
from facegrid.gateway.face_servicer import FaceServicer
from facegrid.gateway.gallery_servicer import GalleryServicer
from facegrid.gateway.identity_servicer import IdentityServicer
from facegrid.gateway.maintenance_servicer import MaintenanceServicer
from facegrid.gateway.migration_servicer import MigrationServicer
from facegrid.gateway.server import NEED_A_STORE, GatewayServer, Servicers
from facegrid.identity.analyze import Analyze
from facegrid.identity.audit import AuditGallery
from facegrid.identity.bulk_export import ExportTemplates
from facegrid.identity.bulk_import import ImportTemplates
from facegrid.identity.catching_up import CatchUp
from facegrid.identity.check import CheckGallery
from facegrid.identity.compaction import Compact
from facegrid.identity.compare import Compare
from facegrid.identity.duplicates import FindDuplicates
from facegrid.identity.enroll import Enroll
from facegrid.identity.extract import Extract
from facegrid.identity.following import Following
from facegrid.identity.galleries import Galleries
from facegrid.identity.identify import Identify
from facegrid.identity.migrate import Migrate
from facegrid.identity.migrations import Migrations
from facegrid.identity.ports import AttributeReader, Detector, Embedder, Index, Packs
from facegrid.identity.probing import Trials
from facegrid.identity.projection import Projection
from facegrid.identity.rebuild import RebuildIndex
from facegrid.identity.shadow import Shadow
from facegrid.identity.subjects import Subjects
from facegrid.identity.tune import TuneGallery
from facegrid.identity.twins import Twins
from facegrid.identity.update import Update
from facegrid.identity.verify import Verify
from facegrid.identity.watching import WatchSearches
from facegrid.identity.writes import Writes
from facegrid.metrics import Metrics
from facegrid.serving.memory import return_freed_memory
from facegrid.serving.stores import OpenStore
from facegrid.serving.upkeep import upkeep
from facegrid.settings import Settings
from facegrid.storage.indexes.milvus import MilvusIndex
from facegrid.storage.indexes.milvus_connection import MilvusOptions
from facegrid.storage.indexes.resident import ResidentIndex
from facegrid.storage.records.followed import FollowedRecords
from facegrid.storage.records.records import StoredRecords
from facegrid.storage.records.twins import StoredTwins
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

    servicers: Servicers
    galleries: Galleries
    vision: Vision
    records: StoredRecords
    index: Index
    projection: Projection
    compact: Compact
    catch_up: CatchUp
    audit: AuditGallery
    watch_searches: WatchSearches
    threads: Executor
    migrate: Migrate
    shadow: Shadow
    default_pack: str

    async def warm(self) -> None:
        """Load the default pack. Raises ConfigurationError."""
        check_pack(self.vision, self.default_pack)
        await self.vision.warm(self.default_pack)

    async def recover(self) -> None:
        """Finish the deletions that a crash broke off, before the first call. Raises StoreUnavailable."""
        await self.galleries.recover()

    async def watch(self, server: GatewayServer) -> None:
        """Say for ever which services have their store and index: detection and comparison need none."""
        had_store = True
        while True:
            await asyncio.sleep(_WATCH_S)
            has_store = await self._has_store()
            if has_store is not had_store:
                structlog.get_logger().warning("object store and index", answer=has_store)
                await server.set_serving(serving=has_store, services=NEED_A_STORE)
            had_store = has_store

    async def _has_store(self) -> bool:
        try:
            await self.records.check()
            await self.index.check()
        except (FacegridError, ConfigurationError):
            return False
        return True

    async def warm_galleries(self) -> None:
        """Load the galleries' packs. Raises ConfigurationError and Unavailable."""
        for pack in await self.galleries.packs():
            await self.vision.warm(pack)

    async def load(self) -> None:
        """Load the galleries' packs and fill their indexes. Raises ConfigurationError and Unavailable.

        A gallery whose records are damaged does not keep the others from being served.
        """
        await self.warm_galleries()
        for name, error in (await self.galleries.fill()).items():
            structlog.get_logger().error("gallery not loaded", gallery=name, cause=str(error))
        await self.migrate.resume()

    def upkeep(self) -> AbstractAsyncContextManager[None]:
        """Do beside the calls what the server that writes to the store has to do."""
        return upkeep(
            compact=self.compact,
            catch_up=self.catch_up,
            migrate=self.migrate,
            publish_watermarks=self.projection.publish,
            watch_searches=self.watch_searches,
        )

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
    device = choose_device(
        settings.device, half_precision=settings.half_precision, memory_mib=settings.cuda_memory_mib
    )
    structlog.get_logger().info("models run on", device=device.kind, cores=workers)
    return VisionEngine(
        PackFolder(settings.models, threads=min(workers, _MOST_RUN_THREADS), device=device),
        PhotographLimits(settings.max_photograph_bytes, settings.max_photograph_pixels),
        workers=workers,
        batches=BATCHES[device.kind],
        smallest_face_px=settings.smallest_face_px,
    )


def build_application(
    settings: Settings,
    store: OpenStore,
    vision: Vision,
    metrics: Metrics,
    access: AccessControl | None = None,
) -> Application:
    """Compose the service of an object store and models, to lead or to follow. Raises ConfigurationError."""
    index = _index(settings, store.check_owner)
    records, projection = _state(store, index)
    detection = DetectionOptions(DetectionMode(settings.detection), any_rotation=settings.any_rotation)
    extract = Extract(vision, vision, vision, settings.pack, settings.smallest_face_px, detection=detection)
    writes = Writes(settings.max_calls)
    galleries = Galleries(records, projection, extract, writes)
    threads = ThreadPoolExecutor(1, "audit", os.nice, (_LOWEST_PRIORITY,))
    trials = Trials(records, projection, threads)
    audit = AuditGallery(galleries, projection, trials)
    leads = store.succeed is None
    watch_searches = WatchSearches(projection, trials, settings.audit_share if leads else 0)
    metrics.watch(watch_searches.galleries)
    twin_records = StoredTwins(store.objects, records)
    twins = Twins(galleries, extract, records, twin_records, projection)
    shadow = Shadow(galleries, extract, records, projection)
    migrate = Migrate(galleries, records, twin_records, projection, writes=writes, twins=twins)
    servicers = Servicers(
        FaceServicer(
            extract, Compare(extract), Analyze(galleries, extract, vision, _allowed(settings.attributes))
        ),
        GalleryServicer(
            galleries,
            Subjects(galleries, records, projection, writes, twins),
            Update(galleries, records, projection, writes, twins),
            access,
        ),
        IdentityServicer(
            Enroll(galleries, extract, records, projection, writes, twins=twins),
            Verify(galleries, extract, records, projection, shadow),
            Identify(galleries, extract, records, projection, shadow, watch=watch_searches),
            metrics,
        ),
        MaintenanceServicer(
            audit,
            TuneGallery(galleries, projection, trials),
            RebuildIndex(galleries, projection),
            CheckGallery(galleries, records, projection, writes),
            FindDuplicates(galleries, records, projection, threads, by_search=bool(settings.milvus)),
        ),
        MigrationServicer(
            Migrations(galleries, extract, twin_records, projection, migrate=migrate, shadow=shadow)
        ),
        BulkServicer(ImportTemplates(galleries, records, projection), ExportTemplates(galleries, records)),
    )
    return Application(
        servicers,
        galleries,
        vision,
        records,
        index,
        projection,
        Compact(galleries, records, projection, writes, settings.compact_after),
        CatchUp(projection, writes),
        audit,
        watch_searches,
        threads,
        migrate,
        shadow,
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


def _state(store: OpenStore, index: ResidentIndex | MilvusIndex) -> tuple[StoredRecords, Projection]:
    if store.succeed is None or isinstance(index, ResidentIndex):
        records = StoredRecords(store.objects, store.connections)
        return records, Projection(records, index)
    followed = FollowedRecords(store.objects, store.connections)
    return followed, Following(followed, index)


def _index(settings: Settings, check_owner: Callable[[], None]) -> ResidentIndex | MilvusIndex:
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
    return MilvusIndex(settings.milvus, options, check_owner=check_owner)
