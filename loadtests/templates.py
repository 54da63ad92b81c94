"""Templates like those of a real model, made of nothing but a seed: no person's face is behind them.

The scores are those that Facegrid measured on 300 labelled pairs of celebrity photographs with a
MobileFaceNet trained with ArcFace: mated 0.50 to 1.0, mean 0.76; non-mated mean 0.03, the highest 0.34 to
0.42, as a standard deviation of 0.1 gives.

A template is a little of one common direction, and for the rest its subject's own direction mixed with
noise. Directions are drawn with variances that fall as j^-0.75 and are then turned, which gives 512 numbers
the spread of some 97 independent ones: strangers score 0 ± 0.1, and not 0 ± 0.044 as without preference.
"""

import numpy as np
from numpy.typing import NDArray

Templates = NDArray[np.float32]

CHUNK = 10_000
_COMMON = 0.03  # the mean non-mated score
_OWN, _OWN_SPREAD = 0.866, 0.08  # a template's share of its subject: two of them make a mated score
_OWN_RANGE = 0.6, 0.995
_DECAY = 0.75


class TemplateSource:
    """Templates of float32 (N, dimension), `per_subject` one after the other of each subject."""

    def __init__(self, dimension: int, per_subject: int) -> None:
        """Take the numbers of a template and the templates of a subject, which must divide 10,000."""
        self._dimension, self._per_subject = dimension, per_subject
        rng = np.random.default_rng(0)
        turn = np.linalg.qr(rng.standard_normal((dimension, dimension)))[0]
        deviations = np.arange(1, dimension + 1) ** (-_DECAY / 2)
        self._turn = (deviations[:, None] * turn).astype(np.float32)
        self._common = np.float32(np.sqrt(_COMMON)) * turn[-1].astype(np.float32)

    def chunk(self, number: int) -> Templates:
        """Return the templates 10,000 × number and on, always the same ones."""
        return self._samples(np.repeat(self._subjects(number), self._per_subject, axis=0), (number, 1))

    def mates(self, number: int, count: int) -> Templates:
        """Return a template that no chunk holds for each of the first subjects of a chunk."""
        return self._samples(self._subjects(number)[:count], (number, 2))

    def strangers(self, count: int) -> Templates:
        """Return templates of subjects that no chunk holds."""
        return self._samples(self._directions(np.random.default_rng(3), count), (0, 4))

    def _subjects(self, number: int) -> Templates:
        return self._directions(np.random.default_rng((number, 0)), CHUNK // self._per_subject)

    def _samples(self, subjects: Templates, seed: tuple[int, int]) -> Templates:
        rng = np.random.default_rng(seed)
        own = rng.normal(_OWN, _OWN_SPREAD, (len(subjects), 1)).clip(*_OWN_RANGE).astype(np.float32)
        noise = self._directions(rng, len(subjects))
        mixed = own * subjects + np.sqrt(1 - own**2) * noise
        return _unit(self._common + np.float32(np.sqrt(1 - _COMMON)) * mixed)

    def _directions(self, rng: np.random.Generator, count: int) -> Templates:
        return _unit(rng.standard_normal((count, self._dimension), np.float32) @ self._turn)


def _unit(vectors: Templates) -> Templates:
    lengths: Templates = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths
