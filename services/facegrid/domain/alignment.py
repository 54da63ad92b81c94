"""Where a face's five points lie in an aligned crop, and the similarity transform that brings them there."""

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.errors import InvalidField
from facegrid.domain.faces import Box, Floats


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single truth
class Alignment:
    """A square crop of `side` pixels whose five landmarks lie at `points`, float32 (5, 2)."""

    name: str
    side: int
    points: Floats = field(repr=False)


def _dlib_points() -> Floats:
    unit = [(0.2258, 0.2077), (0.7544, 0.2077), (0.4901, 0.5156), (0.2541, 0.7802), (0.7261, 0.7802)]
    return ((np.array(unit) + 0.25) / 1.5 * 150).astype(np.float32)


# ArcFace: the five points of InsightFace's recognition models at 112 px (Deng et al., 2019).
# dlib: the mean points of its chip extraction at 150 px with a padding of a quarter.
ALIGNMENTS = {
    "arcface-112": Alignment(
        "arcface-112",
        112,
        np.array(
            [
                (38.2946, 51.6963),
                (73.5318, 51.5014),
                (56.0252, 71.7366),
                (41.5493, 92.3655),
                (70.7299, 92.2041),
            ],
            np.float32,
        ),
    ),
    "dlib-150": Alignment("dlib-150", 150, _dlib_points()),
}

_MARGIN_128 = np.array([8, 0], np.float32)
_SCALED = re.compile(r"arcface-([1-9][0-9]{1,3})")
_AROUND_BOX = re.compile(r"box-([1-9][0-9]{1,3})")
_BOX_MARGIN = np.float32(1.5)


def alignment_named(name: str) -> Alignment:
    """Return the alignment of a name: "arcface-" and any side in pixels, or "dlib-150".

    Other sides scale ArcFace's points as InsightFace does: from 112 px, but a multiple of 128 from a
    crop of 128 px that has 8 px more at the left and the right and nothing above. Raises InvalidField.
    """
    if name in ALIGNMENTS:
        return ALIGNMENTS[name]
    scaled = _SCALED.fullmatch(name)
    if scaled is None:
        raise InvalidField(
            f"alignment is {name!r}; use 'arcface-112', 'dlib-150', or 'arcface-' and another side in pixels",
            field="alignment",
        )
    side, points = int(scaled[1]), ALIGNMENTS["arcface-112"].points
    if side % 112 and side % 128 == 0:
        return Alignment(name, side, (points + _MARGIN_128) * np.float32(side / 128))
    return Alignment(name, side, points * np.float32(side / 112))


def box_side(name: str) -> int | None:
    """Return the side of the crop that a name "box-SIDE" means, in pixels; None for other names."""
    found = _AROUND_BOX.fullmatch(name)
    return int(found[1]) if found else None


def box_transform(box: Box, side: int) -> NDArray[np.float64]:
    """Return the 2×3 matrix that scales the square around a box to `side` pixels, without rotation.

    The square is 1.5 times the box's longer side, as InsightFace's attribute models see a face, and is
    computed in single precision as there: a crop can differ by whole grey levels otherwise. A box of less
    than a pixel counts as one pixel.
    """
    corner = np.array([box.x, box.y], np.float32)
    opposite = np.array([box.x + box.width, box.y + box.height], np.float32)
    scale = np.float32(side) / (max(*(opposite - corner), np.float32(1)) * _BOX_MARGIN)
    centre = (corner + opposite) / np.float32(2)
    return np.column_stack([np.eye(2) * scale, side / 2 - (centre * scale).astype(np.float64)])


def similarity_transform(source: Floats, target: Floats) -> NDArray[np.float64]:
    """Return the 2×3 matrix of rotation, one scale and translation that best maps (N, 2) onto (N, 2).

    Least squares in closed form: in two dimensions the optimum of Umeyama (1991) without reflection is a
    complex number, the ratio of the cross-covariance to the source's variance. Points that coincide
    have no such transform and give scale 0.
    """
    from_centre, to_centre = source.mean(axis=0, dtype=np.float64), target.mean(axis=0, dtype=np.float64)
    x, y = (source - from_centre).T
    u, v = (target - to_centre).T
    spread = max(float(x @ x + y @ y), 1e-12)
    a, b = float(x @ u + y @ v) / spread, float(x @ v - y @ u) / spread
    rotation = np.array([[a, -b], [b, a]])
    return np.column_stack([rotation, to_centre - rotation @ from_centre])
