"""Probes whose mates are known and that no index holds: new templates of stored subjects.

A template is what it shares with the subject's others, and noise. A probe is made likewise: of k unit
templates with the sum t, and a unit vector u orthogonal to t,

    p  =  c t/|t| + √(1 - c²) u,    c = k s / |t|,

has length 1 and the mean score s with the templates (with one of them, exactly s): p·t = c|t| = k s. Noise
decides what else the probe is near to. That of a real model prefers some directions, and isotropic noise,
which is nearly orthogonal to everything, would flatter an approximate index. So u is a normal mixture of what
was observed, which has the observations' covariance (Tong, The Multivariate Normal Distribution, 1990, 3.3).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.faces import Floats

_HIGHEST_SCORE = 0.999
_FEWEST_SCORES = 200
_MIXED_AT_ONCE = 1024

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single truth
class SampledSubject:
    """A stored subject with the float32 vectors (k, dimension) of its templates and the encounter of each."""

    subject_id: str
    encounter_ids: Sequence[str]
    vectors: Floats = field(repr=False)

    @property
    def has_several(self) -> bool:
        """Whether there is more than one template."""
        return len(self.vectors) > 1

    def held_out_score(self, rng: np.random.Generator) -> float | None:
        """Return the mean score of a template with those of other encounters; None where it has none."""
        held_out = int(rng.integers(len(self.vectors)))
        others = np.array([one != self.encounter_ids[held_out] for one in self.encounter_ids])
        if not others.any():
            return None
        return float((self.vectors[others] @ self.vectors[held_out]).mean())


@dataclass(frozen=True, slots=True)
class DrawnSubjects:
    """Subjects to make probes of, and a template of each of others, which show how templates spread."""

    subjects: Sequence[SampledSubject]
    others: Sequence[Floats] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Probes:
    """Unit probes (N, dimension) and whose they are.

    `measured_scores` is the number of scores between mates that were found, `measured` whether these were
    enough to draw from.
    """

    subjects: Sequence[SampledSubject]
    vectors: Floats = field(repr=False)
    measured_scores: int

    @property
    def measured(self) -> bool:
        """Whether scores were drawn from those that were measured."""
        return self.measured_scores >= _FEWEST_SCORES


def probes_of(drawn: DrawnSubjects, threshold: float, dimension: int, rng: np.random.Generator) -> Probes:
    """Make a probe of each drawn subject.

    Where other encounters of the subject exist, the probe scores with its templates what one of them, held
    out, scores with the others. Elsewhere the score is drawn from such scores of other subjects; or, where
    these are fewer than 200, evenly between `threshold`, the gallery's, and 1. That is harder than the models
    that were measured: of 300 labelled pairs each, MobileFaceNet with ArcFace has a mean mated score of 0.76,
    evenly from its threshold it would be 0.73; the dlib ResNet of the open pack 0.85, and 0.80.
    """
    held_out = [subject.held_out_score(rng) for subject in drawn.subjects]
    measured = [score for score in held_out if score is not None]
    count = len(held_out)
    elsewhere = (
        rng.choice(measured, count)
        if len(measured) >= _FEWEST_SCORES
        else rng.uniform(max(0.0, threshold), 1, count)
    )
    scores = [one if score is None else score for one, score in zip(elsewhere, held_out, strict=True)]
    vectors = make_probes(drawn.subjects, scores, noise_source(drawn, dimension, rng), rng)
    return Probes(drawn.subjects, vectors, len(measured))


def noise_source(drawn: DrawnSubjects, dimension: int, rng: np.random.Generator) -> Floats:
    """Return observed noise (M, dimension): between mates, or where these are few, between subjects.

    What is missing to twice the dimension is isotropic: of less, a mixture lies near to what it is made of.
    """
    mates = [one.vectors - one.vectors.mean(axis=0) for one in drawn.subjects if one.has_several]
    several = sum(map(len, mates)) >= 2 * dimension
    noise = np.concatenate(mates) if several else _centred(drawn.others, dimension)
    missing = rng.standard_normal((max(0, 2 * dimension - len(noise)), dimension), np.float32)
    length = np.sqrt((noise**2).sum(axis=1).mean()) if noise.any() else 1.0
    return np.concatenate([noise, missing * np.float32(length / np.sqrt(dimension))])


def _centred(vectors: Sequence[Floats], dimension: int) -> Floats:
    rows: Floats = np.array(vectors, np.float32).reshape(-1, dimension)
    mean: Floats = rows.sum(axis=0) / np.float32(max(1, len(rows)))
    return rows - mean


def make_probes(
    subjects: Sequence[SampledSubject], scores: Sequence[float], noise: Floats, rng: np.random.Generator
) -> Floats:
    """Return a unit probe for each subject, whose mean score with the subject's templates is the one given.

    A score that no vector has with all of them becomes the highest that one can have.
    """
    sums = np.array([one.vectors.sum(axis=0, dtype=np.float64) for one in subjects]).reshape(
        -1, noise.shape[1]
    )
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    counts = np.array([len(one.vectors) for one in subjects])[:, None]
    shares = (counts * np.asarray(scores)[:, None] / lengths).clip(-_HIGHEST_SCORE, _HIGHEST_SCORE)
    own = sums / lengths
    mixed = _mixtures(len(subjects), noise, rng)
    across = mixed - (mixed * own).sum(axis=1, keepdims=True) * own
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    probes: Floats = (shares * own + np.sqrt(1 - shares**2) * across).astype(np.float32)
    return probes


def _mixtures(count: int, noise: Floats, rng: np.random.Generator) -> Floats:
    mixed = np.empty((count, noise.shape[1]), np.float32)
    for start in range(0, count, _MIXED_AT_ONCE):
        part = mixed[start : start + _MIXED_AT_ONCE]
        part[:] = rng.standard_normal((len(part), len(noise)), np.float32) @ noise
    return mixed
