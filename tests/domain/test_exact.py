"""Exact search of vectors that come in blocks, and what of it an index missed."""

import numpy as np
import pytest

from facegrid.domain.audits import Tally, compare
from facegrid.domain.exact import ExactSearch
from facegrid.domain.galleries import IndexRows
from facegrid.domain.labels import NO_LABELS
from facegrid.domain.matching import Hit
from facegrid.domain.sampling import Collector, Survey


def rows(names: list[str], vectors: np.ndarray) -> IndexRows:
    """Return a row for each vector, every one of an encounter of its own."""
    count = len(names)
    return IndexRows(
        names, [f"e{number}" for number in range(count)], [0] * count, vectors, [NO_LABELS] * count
    )


@pytest.mark.parametrize("block", [1, 7, 300, 5000, 12_000])
def test_the_best_subjects_are_those_of_one_large_product(block: int) -> None:
    """However the vectors come, each subject stands once, with its best score, best first."""
    rng = np.random.default_rng(0)
    count = min(12_000, 300 * block)
    vectors = rng.standard_normal((count, 8)).astype(np.float32)
    names = [f"s{number}" for number in rng.integers(0, max(12, count // 3), count)]
    probes = rng.standard_normal((5, 8)).astype(np.float32)
    exact = ExactSearch(probes, 10)
    for start in range(0, count, block):
        exact.add(rows(names[start : start + block], vectors[start : start + block]))
    for probe, found in zip(probes, exact.best(), strict=True):
        best: dict[str, float] = {}
        for name, score in zip(names, vectors @ probe, strict=True):
            best[name] = max(float(score), best.get(name, -9))
        expected = sorted(best.items(), key=lambda item: -item[1])[:10]
        assert [name for name, _ in found] == [name for name, _ in expected]
        assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-5)


def test_fewer_subjects_than_places_are_all_found() -> None:
    """A gallery of three has three candidates, and an empty one none."""
    exact = ExactSearch(np.eye(4, dtype=np.float32)[:2], 10)
    assert exact.best() == [[], []]
    exact.add(rows(["ann", "bob", "ann"], np.eye(4, dtype=np.float32)[:3]))
    assert exact.best()[0] == [("ann", 1.0), ("bob", 0.0)]


def hits(*pairs: tuple[str, float]) -> list[Hit]:
    """Return what an index found."""
    return [Hit(name, "e", 0, score) for name, score in pairs]


def test_a_mate_that_only_exact_search_finds_is_missed() -> None:
    """It counts at or above the threshold alone, and wherever it stands among the candidates."""
    exact = [("bob", 0.8), ("ann", 0.7), ("eve", 0.2)]
    missed = compare(exact, hits(("bob", 0.8), ("eve", 0.2)), 0.6, "ann")
    assert (missed.sought, missed.missed, missed.agreed_1) == ("ann", True, 1.0)
    assert missed.agreed_10 == pytest.approx(2 / 3)
    assert not compare(exact, hits(("bob", 0.8), ("ann", 0.7)), 0.6, "ann").missed
    assert not compare(exact, [], 0.75, "ann").sought
    assert compare(exact, [], 0.6).sought == "bob"


def test_ties_and_the_rounding_of_scores_are_no_misses() -> None:
    """A twin may stand in another's place, and a score may round to just below the threshold."""
    exact = [("ann", 0.6000004), ("zoe", 0.6000004)]
    assert compare(exact, hits(("zoe", 0.6), ("ann", 0.6)), 0.6000004, "ann") == compare(
        exact, hits(("ann", 0.6), ("zoe", 0.6)), 0.6000004, "ann"
    )
    assert not compare(exact, hits(("ann", 0.6)), 0.6000004, "ann").missed


def test_a_tally_states_shares_with_intervals() -> None:
    """Rates are of the mates that exact search finds; agreement is of all probes."""
    found = compare([("ann", 0.9)], hits(("ann", 0.9)), 0.5, "ann")
    missed = compare([("ann", 0.9)], hits(("bob", 0.4)), 0.5, "ann")
    low = compare([("ann", 0.4)], hits(("ann", 0.4)), 0.5, "ann")
    tally = Tally.of([found, found, found, missed]) + Tally.of([low])
    assert (tally.probes, tally.sought, tally.missed) == (5, 4, 1)
    assert tally.added_miss_rate.value == 0.25
    assert tally.recall_at_1.value == pytest.approx(0.8)
    assert tally.added_miss_rate.low < 0.25 < tally.added_miss_rate.high
    assert tally.highest_added_miss_rate < tally.added_miss_rate.high
    assert Tally().highest_added_miss_rate == 1.0


def test_a_draw_is_of_both_kinds_of_subjects_and_has_all_their_templates() -> None:
    """Each probe's subject is drawn anew; a subject that is drawn is collected whole."""
    rng, survey = np.random.default_rng(0), Survey()
    names = [f"one{number}" for number in range(50)] + [f"two{number // 2}" for number in range(60)]
    order = rng.permutation(len(names))
    stored = rows([names[place] for place in order], rng.standard_normal((len(names), 4)).astype(np.float32))
    parts = [stored.part(slice(start, start + 13)) for start in range(0, len(names), 13)]
    for part in parts:
        survey.add(part)
    collector = Collector(survey.draw(200, 4, rng))
    for part in parts:
        collector.add(part)
    drawn = collector.drawn()
    assert [len(one.vectors) for one in drawn.subjects] == [1] * 200 + [2] * 200
    assert len({one.subject_id for one in drawn.subjects}) > 60
    assert len({tuple(one) for one in drawn.others}) == 16
