"""Templates: what a face becomes, and the only way in which two of them are compared."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.errors import InvalidTemplate, TemplateVersionMismatch
from facegrid.domain.faces import DetectedFace, Floats

UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single truth
class Template:
    """A normalised feature vector, float32 (dimension,), of one template version.

    `norm` is the vector's length before it was normalised (after the pack's centre was subtracted);
    0 where it is not known.
    """

    version: str
    vector: Floats = field(repr=False)
    norm: float = 0.0

    def to_bytes(self) -> bytes:
        """Return the vector as little-endian float32."""
        return self.vector.astype("<f4").tobytes()


@dataclass(frozen=True, slots=True)
class SentTemplate:
    """A template as a client sent it: `vector` is little-endian float32 and not yet checked."""

    version: str
    vector: bytes = field(repr=False)
    norm: float


@dataclass(frozen=True, slots=True)
class SentFace:
    """A photograph, the one face in it that is meant, and its template, as a client extracted them."""

    photograph: bytes = field(repr=False)
    face: DetectedFace
    template: SentTemplate


def template_from_features(version: str, features: Floats, centre: Floats | None) -> Template:
    """Make a template of a model's raw output: minus the centre, where there is one, then normalised."""
    centred = features if centre is None else features - centre
    norm = float(np.linalg.norm(centred))
    return Template(version, (centred / max(norm, 1e-12)).astype(np.float32), norm)


def template_from_client(sent: SentTemplate, version: str, dimension: int) -> Template:
    """Check a template against the version and length that is needed.

    Raises TemplateVersionMismatch and InvalidTemplate.
    """
    if sent.version != version:
        raise TemplateVersionMismatch(
            f"the template is of version {sent.version[:80]!r} and {version!r} is needed; "
            "extract it again with that pack"
        )
    if len(sent.vector) != 4 * dimension:
        raise InvalidTemplate(
            f"the vector has {len(sent.vector)} bytes and version {version!r} has {4 * dimension} "
            f"({dimension} little-endian float32)"
        )
    vector = np.frombuffer(sent.vector, "<f4").astype(np.float32)
    _check_unit(vector)
    if not (math.isfinite(sent.norm) and sent.norm >= 0):
        raise InvalidTemplate("the norm is negative or not finite; send it as Extract returned it")
    return Template(version, vector, sent.norm)


def _check_unit(vector: Floats) -> None:
    if not np.isfinite(vector).all():
        raise InvalidTemplate("the vector holds a value that is not finite; extract it again")
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if abs(length - 1.0) > UNIT_TOLERANCE:
        raise InvalidTemplate(
            f"the vector's length is {length:.4g} and a template's is 1; send it as Extract returned it"
        )


def cosine(one: Template, other: Template) -> float:
    """Return the score of two templates, from -1 to 1, summed in float64 as an exact search does.

    Raises TemplateVersionMismatch.
    """
    if one.version != other.version:
        raise TemplateVersionMismatch(
            f"templates of versions {one.version!r} and {other.version!r} do not compare"
        )
    return round_score(float(one.vector.astype(np.float64) @ other.vector.astype(np.float64)))


def round_score(score: float) -> float:
    """Round to six decimals, below which float32 vectors say nothing and ties would not tie."""
    return round(score, 6)


def pool_templates(templates: Sequence[Template]) -> Template:
    """Make one probe of several templates of one person: their mean, normalised again."""
    if len(templates) == 1:
        return templates[0]
    stacked: NDArray[np.float32] = np.stack([template.vector for template in templates])
    return template_from_features(templates[0].version, stacked.mean(axis=0, dtype=np.float32), None)
