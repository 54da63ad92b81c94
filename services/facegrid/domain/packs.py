"""What the rest of the system needs to know of a model pack; the weights stay in `vision`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum

from facegrid.domain.attributes import Attribute, attribute_names
from facegrid.domain.errors import AttributeNotAvailable


class ThresholdSource(Enum):
    """Who set a threshold."""

    PACK_DEFAULT = "pack_default"
    OPERATOR = "operator"
    CALIBRATED = "calibrated"


@dataclass(frozen=True, slots=True)
class Threshold:
    """The lowest score that is a match, and where it comes from."""

    value: float
    source: ThresholdSource


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The two operating points: one comparison (1:1), and a search of a whole gallery (1:N)."""

    verify: Threshold
    identify: Threshold


@dataclass(frozen=True, slots=True)
class NormQuality:
    """The norms of templates that tell nothing of their person (`low`) and of good ones (`high`)."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Pack:
    """A detector and an embedder that belong together, and the models of attributes beside them.

    `template_version` changes with the weights, the input contract, the alignment and the centre.
    `dimension` is the length of a template in numbers. `norm_quality` is None where a template's norm
    tells nothing of the face's quality. `attributes` has, for each that can be read, the alignment of the
    crop that it is read of; "" where the detector states it.
    """

    name: str
    template_version: str
    dimension: int
    alignment: str
    thresholds: Thresholds
    norm_quality: NormQuality | None = None
    attributes: Mapping[Attribute, str] = field(default_factory=dict)


def check_available(attributes: Collection[Attribute], pack: Pack) -> None:
    """Raise AttributeNotAvailable where no model of the pack reads one of the attributes."""
    if missing := attribute_names(set(attributes).difference(pack.attributes)):
        raise AttributeNotAvailable(
            f"no model of pack {pack.name} reads {missing}; it reads "
            f"{attribute_names(pack.attributes) or 'none'}; name a pack that has one",
            field="attributes",
        )
