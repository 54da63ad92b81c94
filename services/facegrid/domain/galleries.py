"""Galleries, and what stands in them: subjects, their encounters, and the samples of an encounter."""

from dataclasses import dataclass, field
from datetime import datetime

from facegrid.domain.attributes import Attribute
from facegrid.domain.faces import DetectedFace, Floats
from facegrid.domain.packs import Thresholds
from facegrid.domain.quality import QualityRule
from facegrid.domain.templates import Template


@dataclass(frozen=True, slots=True)
class Gallery:
    """A gallery's settings. `gallery_id` is random, so that one made again under a name inherits nothing.

    `key` keys the hashes under which its subjects are stored; it never leaves the store. `attributes` are
    those that may be read in its name.
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


@dataclass(frozen=True, slots=True)
class Subject:
    """A person of a gallery, with the active encounters, oldest first."""

    subject_id: str
    created: datetime
    encounters: tuple[Encounter, ...]


@dataclass(frozen=True, slots=True)
class Tombstone:
    """The encounters that a deletion takes away, and the revision that first does not show them."""

    encounter_ids: tuple[str, ...]
    revision: int


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single truth
class IndexRow:
    """One vector of an index: float32 (dimension,), normalised, and whose it is."""

    subject_id: str
    encounter_id: str
    sample: int
    vector: Floats = field(repr=False)

    @property
    def key(self) -> str:
        """The row's primary key."""
        return f"{self.encounter_id}/{self.sample}"


def index_rows(encounter: Encounter) -> list[IndexRow]:
    """Return the rows that an index holds for an encounter."""
    return [
        IndexRow(encounter.subject_id, encounter.encounter_id, number, sample.template.vector)
        for number, sample in enumerate(encounter.samples)
    ]
