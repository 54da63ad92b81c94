"""What can be read of a face beside its identity; nothing is read that a request does not name."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Self

from facegrid.domain.faces import Floats


class Attribute(Enum):
    """One thing to read; each value names the field of `FaceAttributes` that holds it."""

    AGE = "age"
    GENDER_PRESENTATION = "gender_presentation"
    POSE = "pose"
    LANDMARKS_106 = "landmarks_106"
    LANDMARKS_68 = "landmarks_68"
    MASK = "mask"


@dataclass(frozen=True, slots=True)
class GenderPresentation:
    """How a face is seen by a model that knows two classes: their probabilities, which sum to 1.

    They are the softmax of the model's two numbers and are not calibrated.
    """

    feminine: float
    masculine: float


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a head turns, in degrees: up, to the picture's right, and clockwise are positive."""

    pitch: float
    yaw: float
    roll: float


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single truth
class FaceAttributes:
    """What was read of one face; None where it was not asked for.

    `age` is in years. `landmarks_106` is float32 (106, 2), `landmarks_68` float32 (68, 3), both in pixels of
    the photograph; z grows towards the viewer from about the middle of the head. `mask` is the probability
    that a mask covers the face.
    """

    age: float | None = None
    gender_presentation: GenderPresentation | None = None
    pose: Pose | None = None
    landmarks_106: Floats | None = None
    landmarks_68: Floats | None = None
    mask: float | None = None

    @classmethod
    def joined(cls, readings: Sequence[Self], wanted: Collection[Attribute]) -> Self:
        """Return what several readings of one face say of the wanted attributes, and nothing else."""
        names = [attribute.value for attribute in wanted]
        return cls(
            **{
                name: value
                for reading in readings
                for name in names
                if (value := getattr(reading, name)) is not None
            }
        )


def attribute_names(attributes: Collection[Attribute]) -> str:
    """Return the names of attributes as a sentence lists them."""
    return ", ".join(attribute.value for attribute in Attribute if attribute in attributes)
