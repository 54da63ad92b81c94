"""From hits to candidates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegrid.domain.matching import Hit, best_per_subject, is_match, is_settled
from facegrid.domain.packs import Threshold, ThresholdSource

_HITS = st.lists(
    st.builds(
        Hit,
        st.sampled_from("abcde"),
        st.sampled_from(["e1", "e2"]),
        st.integers(0, 3),
        st.sampled_from([0.1, 0.2, 0.3, 0.4]),
    ),
    max_size=30,
)


@pytest.mark.parametrize(("score", "matched"), [(0.59, True), (0.589999, False), (1.0, True)])
def test_a_score_equal_to_the_threshold_is_a_match(score: float, matched: bool) -> None:
    """The threshold is the lowest score that matches."""
    assert is_match(score, Threshold(0.59, ThresholdSource.PACK_DEFAULT)) is matched


@given(_HITS)
def test_each_subject_appears_once_with_its_best_score(hits: list[Hit]) -> None:
    """The order is by score, then by subject id, whatever order the hits come in."""
    ranked = best_per_subject(hits)
    best = {
        subject: max(h.score for h in hits if h.subject_id == subject)
        for subject in {h.subject_id for h in hits}
    }
    assert [(hit.subject_id, hit.score) for hit in ranked] == sorted(
        best.items(), key=lambda one: (-one[1], one[0])
    )


@given(_HITS, st.integers(1, 5), st.integers(1, 30))
def test_a_settled_top_does_not_change_with_more_hits(hits: list[Hit], top: int, seen: int) -> None:
    """What is_settled promises of the best hits holds for all of them."""
    ordered = sorted(hits, key=lambda hit: -hit.score)
    if is_settled(ordered[:seen], top):
        best = [(hit.subject_id, hit.score) for hit in best_per_subject(hits)[:top]]
        assert [(hit.subject_id, hit.score) for hit in best_per_subject(ordered[:seen])[:top]] == best
