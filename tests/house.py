"""The use cases over real records and a real index, with a vision that sees what a photograph says."""

import itertools
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from facegrid.domain.attributes import Attribute
from facegrid.domain.calls import Call
from facegrid.domain.faces import FaceSelection
from facegrid.domain.filters import Filter
from facegrid.domain.galleries import Encounter
from facegrid.domain.index_settings import EXACT_INDEX, IndexSettings
from facegrid.domain.labels import NO_LABELS, Labels
from facegrid.domain.templates import SentTemplate
from facegrid.identity.analyze import Analyze
from facegrid.identity.audit import AuditGallery
from facegrid.identity.check import CheckGallery
from facegrid.identity.duplicates import FindDuplicates
from facegrid.identity.enroll import Enroll, EnrollMode
from facegrid.identity.extract import Extract
from facegrid.identity.galleries import Galleries
from facegrid.identity.identify import Identification, Identify
from facegrid.identity.migrate import Migrate
from facegrid.identity.migrations import Migrations
from facegrid.identity.ports import Index
from facegrid.identity.probing import Trials
from facegrid.identity.projection import Projection
from facegrid.identity.rebuild import RebuildIndex
from facegrid.identity.searching import EVERYWHERE, Scope
from facegrid.identity.shadow import Shadow
from facegrid.identity.subjects import Subjects
from facegrid.identity.tune import TuneGallery
from facegrid.identity.twins import Twins
from facegrid.identity.update import Update
from facegrid.identity.verify import Verify
from facegrid.identity.watching import WatchSearches
from facegrid.identity.writes import Writes
from facegrid.metrics import Metrics
from facegrid.storage.indexes.resident import ResidentIndex
from facegrid.storage.objects.files import LocalObjectStore
from facegrid.storage.objects.store import ObjectStore
from facegrid.storage.records.records import StoredRecords
from facegrid.storage.records.twins import StoredTwins
from fakes import FakeVision

_numbers = itertools.count()


def call(method: str, request_id: str = "", fingerprint: str = "same", timeout_s: float = 5) -> Call:
    """Return a call with a request id of its own, unless one is given."""
    return Call(method, request_id or f"r{next(_numbers)}", fingerprint, time.monotonic() + timeout_s)


@dataclass
class House:
    """All use cases over one folder."""

    vision: FakeVision
    extract: Extract
    records: StoredRecords
    index: Index
    projection: Projection
    galleries: Galleries
    subjects: Subjects
    update: Update
    enroll: Enroll
    verify: Verify
    identify: Identify
    analyze: Analyze
    audit: AuditGallery
    tune: TuneGallery
    rebuild: RebuildIndex
    check: CheckGallery
    duplicates: FindDuplicates
    watch: WatchSearches
    threads: Executor
    metrics: Metrics
    twins: Twins
    migrate: Migrate
    migrations: Migrations

    async def make_gallery(
        self,
        name: str = "g",
        *,
        keep_photographs: bool = True,
        attributes: Sequence[Attribute] = (),
        index: IndexSettings = EXACT_INDEX,
    ) -> None:
        """Make a gallery."""
        await self.galleries.create(
            call("CreateGallery"),
            name,
            pack_name="",
            verify_threshold=None,
            identify_threshold=None,
            keep_photographs=keep_photographs,
            attributes=attributes,
            index=index,
        )

    async def add(
        self,
        subject: str,
        *photographs: bytes | SentTemplate,
        mode: EnrollMode = EnrollMode.ADD,
        request_id: str = "",
        gallery: str = "g",
        labels: Labels = NO_LABELS,
    ) -> Encounter:
        """Enrol photographs as one encounter; the photographs are the payload."""
        enrolled = await self.enroll(
            call("Enroll", request_id, repr((subject, photographs, mode))),
            gallery,
            subject_id=subject,
            mode=mode,
            samples=photographs,
            selection=FaceSelection.EXACTLY_ONE,
            labels=labels,
        )
        return enrolled.encounter

    async def search(
        self,
        *photographs: bytes | SentTemplate,
        top: int = 10,
        selection: FaceSelection = FaceSelection.EXACTLY_ONE,
        below: bool = False,
        min_revision: str = "",
        timeout_s: float = 5,
        gallery: str = "g",
        probe_subject_id: str = "",
        scope: Scope = EVERYWHERE,
    ) -> Identification:
        """Identify."""
        return await self.identify(
            call("Identify", timeout_s=timeout_s),
            gallery,
            photographs,
            selection,
            top=top,
            include_below_threshold=below,
            min_revision=min_revision,
            probe_subject_id=probe_subject_id,
            scope=scope,
        )

    async def found(self, photograph: bytes, wanted: Filter | None = None) -> list[str]:
        """Return the subjects that a photograph of one face finds."""
        found = await self.search(photograph, scope=Scope(filter=wanted))
        return [hit.subject_id for hit in found.results[0].candidates]

    def close(self) -> None:
        """Stop the threads."""
        self.threads.shutdown()
        self.records.close()
        self.index.close()


def build_house(
    folder: Path, vision: FakeVision, store: ObjectStore | None = None, index: Index | None = None
) -> House:
    """Compose the use cases as the serving layer does; the server allows age and gender presentation."""
    store = store or LocalObjectStore(folder)
    records, index = StoredRecords(store, workers=4), index or ResidentIndex(workers=2)
    extract = Extract(vision, vision, vision, "fake", smallest_face_px=20)
    projection, writes = Projection(records, index), Writes(64)
    galleries, twin_records = Galleries(records, projection, extract, writes), StoredTwins(store, records)
    twins = Twins(galleries, extract, records, twin_records, projection)
    shadow = Shadow(galleries, extract, records, projection)
    migrate = Migrate(galleries, records, twin_records, projection, writes=writes, twins=twins)
    threads = ThreadPoolExecutor(1)
    trials = Trials(records, projection, threads)
    watch = WatchSearches(projection, trials, share=1)
    metrics = Metrics()
    metrics.watch(watch.galleries)
    return House(
        vision,
        extract,
        records,
        index,
        projection,
        galleries,
        Subjects(galleries, records, projection, writes, twins),
        Update(galleries, records, projection, writes, twins),
        Enroll(galleries, extract, records, projection, writes, twins=twins),
        Verify(galleries, extract, records, projection, shadow),
        Identify(galleries, extract, records, projection, shadow, watch=watch),
        Analyze(galleries, extract, vision, [Attribute.AGE, Attribute.GENDER_PRESENTATION]),
        AuditGallery(galleries, projection, trials),
        TuneGallery(galleries, projection, trials),
        RebuildIndex(galleries, projection),
        CheckGallery(galleries, records, projection, writes),
        FindDuplicates(galleries, records, projection, threads, by_search=False),
        watch,
        threads,
        metrics,
        twins,
        migrate,
        Migrations(galleries, extract, twin_records, projection, migrate=migrate, shadow=shadow),
    )
