"""Confidence intervals of counted shares."""

import numpy as np
import pytest

from facegrid.domain.intervals import interval, trials_needed, upper_bound


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),
        (1, 10, 0.0025, 0.4450),
        (5, 10, 0.1871, 0.8129),
        (10, 10, 0.6915, 1.0),
        (3, 3000, 0.000206, 0.002919),
    ],
)
def test_the_interval_is_that_of_clopper_and_pearson(count: int, total: int, low: float, high: float) -> None:
    """Published values of the exact interval come out."""
    assert interval(count, total) == pytest.approx((low, high), abs=5e-5)


def test_the_interval_covers_the_true_share_as_often_as_it_says() -> None:
    """Of intervals of random counts 95 % or more hold the share that the counts were drawn with."""
    counts = np.random.default_rng(0).binomial(200, 0.03, 2000)
    intervals = {int(count): interval(int(count), 200) for count in set(counts.tolist())}
    held = [intervals[int(count)][0] <= 0.03 <= intervals[int(count)][1] for count in counts]
    assert np.mean(held) >= 0.95


def test_three_thousand_probes_without_a_miss_prove_a_thousandth() -> None:
    """The rule of three: some 3 / share trials are needed, and one fewer is not enough."""
    needed = trials_needed(0.001)
    assert needed == 2995
    assert upper_bound(0, needed) < 0.001 < upper_bound(0, needed - 1)
    assert upper_bound(1, needed) > 0.001


def test_a_sum_of_shares_has_a_wider_interval_than_its_whole_part() -> None:
    """Fractions round to the outside, so that they never feign more than was counted."""
    low, high = interval(7.5, 10)
    assert low == interval(7, 10)[0]
    assert high == interval(8, 10)[1]
