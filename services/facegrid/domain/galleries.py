"""Galleries, and what stands in them: subjects, their encounters, and the samples of an encounter."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from zlib import crc32

import numpy as np

from facegrid.domain.attributes import Attribute
from facegrid.domain.errors import GalleryNotFound
from facegrid.domain.faces import DetectedFace, Floats
from facegrid.domain.index_settings import EXACT_INDEX, IndexSettings
from facegrid.domain.labels import NO_LABELS, Labels, Status
from facegrid.domain.packs import Thresholds
from facegrid.domain.quality import QualityRule
from facegrid.domain.templates import Template

MAX_SAMPLES = 32  # of one encounter


@dataclass(frozen=True, slots=True)
class Gallery:
    """A gallery's settings. `gallery_id` is random, so that one made again under a name inherits nothing.

    `key` keys the hashes under which its subjects are stored; it never leaves the store. `attributes` are
    those that may be read in its name. `former_ids` are those of the galleries whose place it took, or is to
    take, by migrations.
    """

    name: str
    gallery_id: str
    pack: str
    template_version: str
    dimension: int
    thresholds: Thresholds
    keep_photographs: bool
    created: datetime
    key: bytes = field(repr=False)
    quality_rules: tuple[QualityRule, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    index: IndexSettings = EXACT_INDEX
    former_ids: tuple[str, ...] = ()
    migration: "Migration | None" = None

    @property
    def twin(self) -> "Gallery | None":
        """The other gallery of a migration."""
        return self.migration.twin if self.migration else None


class MigrationState(Enum):
    """How far a migration is."""

    COPYING = "copying"
    READY = "ready"
    CUT_OVER = "cut_over"


@dataclass(frozen=True, slots=True)
class Migration:
    """A gallery's move to another pack. `twin` has the same name, key and subjects, and takes every change.

    It is the gallery to be until the cut over, and the one that was from then on. `shadow` is the share of
    searches that are repeated in it.
    """

    twin: Gallery
    state: MigrationState = MigrationState.COPYING
    shadow: float = 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One stored face of an encounter. `face` is None where the sample came as a template.

    `sha256` is the photograph's (hex), or that of the template's bytes.
    """

    sha256: str
    face: DetectedFace | None
    template: Template
    photograph_kept: bool


@dataclass(frozen=True, slots=True)
class Encounter:
    """What one enrolment stored: its samples, all or none.

    `replaces` are the encounters that its commit takes out of the subject, in the same step.
    `revision` is the gallery's revision that first shows it.
    """

    encounter_id: str
    subject_id: str
    samples: tuple[Sample, ...]
    created: datetime
    revision: int
    request_id: str
    actor: str
    replaces: tuple[str, ...] = ()
    labels: Labels = NO_LABELS


@dataclass(frozen=True, slots=True)
class Subject:
    """A person of a gallery, with all encounters, oldest first."""

    subject_id: str
    created: datetime
    encounters: tuple[Encounter, ...]
    status: Status = Status.ACTIVE


@dataclass(frozen=True, slots=True)
class Tombstone:
    """The encounters that a deletion takes away, and the revision that first does not show them.

    `written` is when it was stored.
    """

    encounter_ids: tuple[str, ...]
    revision: int
    written: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far a gallery's index, `place`, has come: it shows every mutation of a revision up to this one.

    `subjects` is how many it covers. It is `complete` where mutations that failed have left nothing in it.
    """

    place: str
    revision: int
    subjects: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Amendment:
    """The labels that an encounter has from a revision on; its subject's status is none of them.

    Without an encounter it is about a subject, and of the labels the subject's status alone counts.
    """

    encounter_id: str
    labels: Labels
    revision: int


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single truth
class IndexRows:
    """Rows of an index, column by column: float32 vectors (N, dimension), normalised, and whose they are.

    A row's key is its encounter and the number of its sample; `labels` are its encounter's.
    """

    subject_ids: Sequence[str]
    encounter_ids: Sequence[str]
    samples: Sequence[int]
    vectors: Floats = field(repr=False)
    labels: Sequence[Labels]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.samples)

    @property
    def keys(self) -> list[str]:
        """The rows' primary keys."""
        return [
            f"{encounter_id}/{sample}"
            for encounter_id, sample in zip(self.encounter_ids, self.samples, strict=True)
        ]

    def part(self, rows: slice) -> "IndexRows":
        """Return a range of the rows; no vector is copied."""
        return IndexRows(
            self.subject_ids[rows],
            self.encounter_ids[rows],
            self.samples[rows],
            self.vectors[rows],
            self.labels[rows],
        )

    def take(self, rows: Sequence[int]) -> "IndexRows":
        """Return the rows of these numbers."""
        return IndexRows(
            [self.subject_ids[row] for row in rows],
            [self.encounter_ids[row] for row in rows],
            [self.samples[row] for row in rows],
            self.vectors[list(rows)],
            [self.labels[row] for row in rows],
        )


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A row that an index holds, its vector as a checksum."""

    subject_id: str
    encounter_id: str
    sample: int
    checksum: int

    @property
    def key(self) -> str:
        """The row's primary key."""
        return f"{self.encounter_id}/{self.sample}"


def checksum(vector: Floats) -> int:
    """Return the CRC-32 of a vector's little-endian float32."""
    return crc32(vector.astype("<f4").tobytes())


def index_rows(encounters: Sequence[Encounter], dimension: int) -> IndexRows:
    """Return the rows that an index holds for encounters: those of the ones that are searched."""
    samples = [
        (encounter, number, sample.template.vector)
        for encounter in encounters
        if encounter.labels.searched
        for number, sample in enumerate(encounter.samples)
    ]
    return IndexRows(
        [encounter.subject_id for encounter, _, _ in samples],
        [encounter.encounter_id for encounter, _, _ in samples],
        [number for _, number, _ in samples],
        np.array([vector for _, _, vector in samples], np.float32).reshape(-1, dimension),
        [encounter.labels for encounter, _, _ in samples],
    )


def no_gallery(name: str, field: str = "gallery") -> GalleryNotFound:
    """Return the error for a name, the same whether the gallery is missing or not to be known of."""
    return GalleryNotFound(f"no gallery is named {name}; make it first, or check the name", field=field)
