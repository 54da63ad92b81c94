"""How far a share that was counted may be from the true one: exact binomial bounds."""

import math

import numpy as np
from numpy.typing import NDArray

_HALVINGS = 60
CONFIDENCE = 0.95


def interval(count: float, total: int) -> tuple[float, float]:
    """Return the two-sided 95 % interval of a share, after Clopper and Pearson (Biometrika 26, 1934).

    `count` may be a sum of shares from 0 to 1: of all such variables with one mean, those that are 0 or 1
    have the widest sums (Hoeffding, J. Am. Stat. Assoc. 58, 1963), so that the interval is rather too wide.
    """
    tail = (1 - CONFIDENCE) / 2
    return _lower(math.floor(count), total, tail), _upper(math.ceil(count), total, tail)


def upper_bound(count: int, total: int) -> float:
    """Return the share that the true one is below with 95 % confidence, of one side."""
    return _upper(count, total, 1 - CONFIDENCE)


def trials_needed(share: float) -> int:
    """Return how many trials without a single event prove that a share is below this one.

    About 3 / share, the rule of three (Hanley and Lippman-Hand, JAMA 249, 1983).
    """
    return math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-share))


def _lower(count: int, total: int, tail: float) -> float:
    return 1 - _upper(total - count, total, tail)


def _upper(count: int, total: int, tail: float) -> float:
    """Return the share of which `count` events or fewer of `total` come with a probability of `tail`."""
    if count >= total:
        return 1.0
    ways = _log_ways(count, total)
    events = np.arange(count + 1)
    low, high = count / total, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        logs = ways + events * math.log(middle or 1) + (total - events) * math.log1p(-middle)
        low, high = (middle, high) if np.exp(logs).sum() > tail else (low, middle)
    return high


def _log_ways(count: int, total: int) -> NDArray[np.float64]:
    """Return the logarithms of the binomial coefficients of `total` over 0 to `count`."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, total + 1)))])
    events = np.arange(count + 1)
    return np.asarray(logs[total] - logs[events] - logs[total - events])
