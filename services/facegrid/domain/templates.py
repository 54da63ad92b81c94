"""Templates: what a face becomes, and the only way in which two of them are compared."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.errors import InvalidTemplate, TemplateVersionMismatch
from facegrid.domain.faces import Floats

_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
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


def template_from_features(version: str, features: Floats, centre: Floats | None) -> Template:
    """Make a template of a model's raw output: minus the centre, where there is one, then normalised."""
    centred = features if centre is None else features - centre
    norm = float(np.linalg.norm(centred))
    return Template(version, (centred / max(norm, 1e-12)).astype(np.float32), norm)


def template_from_bytes(
    version: str, data: bytes, norm: float, *, expected_version: str, dimension: int, field_name: str
) -> Template:
    """Check a template that a client sent and make it ours.

    Raises TemplateVersionMismatch and InvalidTemplate.
    """
    if version != expected_version:
        raise TemplateVersionMismatch(
            f"the template is of version {version[:80]!r} and {expected_version!r} is needed; "
            "extract it again with the gallery's pack",
            field=f"{field_name}.template_version",
        )
    if len(data) != 4 * dimension:
        raise InvalidTemplate(
            f"the vector has {len(data)} bytes and version {expected_version} has "
            f"{4 * dimension} ({dimension} little-endian float32)",
            field=f"{field_name}.vector",
        )
    vector = np.frombuffer(data, "<f4").astype(np.float32)
    _check_unit(vector, field_name)
    return Template(version, vector, norm)


def _check_unit(vector: Floats, field_name: str) -> None:
    if not np.isfinite(vector).all():
        raise InvalidTemplate(
            "the vector holds a value that is not finite; extract it again", field=f"{field_name}.vector"
        )
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if abs(length - 1.0) > _UNIT_TOLERANCE:
        raise InvalidTemplate(
            f"the vector's length is {length:.4g} and a template's is 1; send it as Extract returned it",
            field=f"{field_name}.vector",
        )


def cosine(one: Template, other: Template) -> float:
    """Return the score of two templates, from -1 to 1. Raises TemplateVersionMismatch."""
    if one.version != other.version:
        raise TemplateVersionMismatch(
            f"templates of versions {one.version!r} and {other.version!r} do not compare"
        )
    return round_score(float(one.vector @ other.vector))


def round_score(score: float) -> float:
    """Round to six decimals, below which float32 sums depend on their order and ties would not tie."""
    return round(score, 6)


def pool_templates(templates: Sequence[Template]) -> Template:
    """Make one probe of several templates of one person: their mean, normalised again."""
    if len(templates) == 1:
        return templates[0]
    stacked: NDArray[np.float32] = np.stack([template.vector for template in templates])
    return template_from_features(templates[0].version, stacked.mean(axis=0, dtype=np.float32), None)
