"""Probes with known mates."""

import numpy as np
import pytest

from facegrid.domain.faces import Floats
from facegrid.domain.probes import DrawnSubjects, SampledSubject, make_probes, noise_source, probes_of

_DIMENSION = 32


def unit(vectors: Floats) -> Floats:
    """Return vectors of length 1."""
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def subjects(counts: list[int], rng: np.random.Generator) -> list[SampledSubject]:
    """Return subjects of so many templates each, which score some 0.7 with each other."""
    made = []
    for number, count in enumerate(counts):
        own = unit(rng.standard_normal(_DIMENSION))
        noise = unit(rng.standard_normal((count, _DIMENSION)))
        vectors = unit(np.sqrt(0.7) * own + np.sqrt(0.3) * noise)
        made.append(SampledSubject(f"s{number}", [f"e{one}" for one in range(count)], vectors))
    return made


def test_a_probe_has_length_1_and_the_score_that_was_asked_for() -> None:
    """With one template the score is exact; with several their mean is."""
    rng = np.random.default_rng(1)
    drawn, wanted = subjects([1, 1, 2, 5, 9], rng), [0.5, 0.93, 0.6, 0.4, 0.55]
    probes = make_probes(drawn, wanted, unit(rng.standard_normal((200, _DIMENSION))), rng)
    scores = [float((one.vectors @ probe).mean()) for one, probe in zip(drawn, probes, strict=True)]
    assert scores == pytest.approx(wanted, abs=1e-6)
    assert np.linalg.norm(probes, axis=1) == pytest.approx(np.ones(5), abs=1e-6)


def test_a_score_that_no_vector_has_with_all_templates_becomes_the_highest() -> None:
    """Two templates that differ cannot both be met at 0.99; the probe is still of length 1."""
    rng = np.random.default_rng(2)
    drawn = subjects([4], rng)
    (probe,) = make_probes(drawn, [0.99], unit(rng.standard_normal((200, _DIMENSION))), rng)
    assert np.linalg.norm(probe) == pytest.approx(1, abs=1e-6)
    assert (drawn[0].vectors @ probe).mean() == pytest.approx(
        np.linalg.norm(drawn[0].vectors.mean(axis=0)), abs=2e-3
    )


def test_noise_prefers_the_directions_that_templates_prefer() -> None:
    """Of templates that lie in eight of 32 directions, the noise of probes does as well."""
    rng = np.random.default_rng(3)
    others = np.zeros((500, _DIMENSION), np.float32)
    others[:, :8] = unit(rng.standard_normal((500, 8)))
    alone = [SampledSubject(f"s{number}", ["e"], others[number : number + 1]) for number in range(100)]
    probes = probes_of(DrawnSubjects(alone, list(others)), 0.5, _DIMENSION, rng).vectors
    assert np.abs(probes[:, 8:]).max() < 1e-6


def test_noise_between_mates_is_preferred_to_that_between_subjects() -> None:
    """Where mates were drawn in number, probes vary as they do."""
    rng = np.random.default_rng(4)
    direction, other = np.eye(_DIMENSION, dtype=np.float32)[:2]
    pairs = [
        SampledSubject(f"s{number}", ["e1", "e2"], unit(np.stack([direction + 0.3 * other, direction])))
        for number in range(100)
    ]
    noise = noise_source(DrawnSubjects(pairs, []), _DIMENSION, rng)
    assert len(noise) == 200
    assert np.abs(noise[:, 2:]).max() == 0


def test_a_gallery_of_one_subject_has_isotropic_noise() -> None:
    """Too few templates to learn from are filled up: a probe is a vector whatever the gallery."""
    rng = np.random.default_rng(5)
    drawn = subjects([1], rng)
    probes = probes_of(DrawnSubjects(drawn * 50, [drawn[0].vectors[0]]), 0.5, _DIMENSION, rng).vectors
    assert np.isfinite(probes).all()
    assert np.linalg.matrix_rank(probes) == _DIMENSION


def test_scores_come_from_mates_where_there_are_enough_and_else_from_above_the_threshold() -> None:
    """Two hundred measured scores are drawn from; fewer leave the range from the threshold to 1."""
    rng = np.random.default_rng(6)
    single = subjects([1] * 300, rng)
    others = [one.vectors[0] for one in single]
    few = probes_of(DrawnSubjects([*single, *subjects([2] * 10, rng)], others), 0.5, _DIMENSION, rng)
    many = probes_of(DrawnSubjects([*single, *subjects([2] * 300, rng)], others), 0.5, _DIMENSION, rng)
    assert (few.measured, few.measured_scores) == (False, 10)
    assert (many.measured, many.measured_scores) == (True, 300)

    def scores(vectors: Floats) -> Floats:
        return np.array(
            [float(one.vectors[0] @ probe) for one, probe in zip(single, vectors[:300], strict=True)]
        )

    assert scores(few.vectors).min() >= 0.5
    assert scores(few.vectors).mean() == pytest.approx(0.75, abs=0.05)
    assert scores(many.vectors).mean() == pytest.approx(0.7, abs=0.03)


def test_templates_of_one_encounter_are_no_mates() -> None:
    """Only another encounter gives a held-out score."""
    rng = np.random.default_rng(7)
    (one,) = subjects([3], rng)
    together = SampledSubject(one.subject_id, ["e", "e", "e"], one.vectors)
    assert together.held_out_score(rng) is None
    assert one.held_out_score(rng) == pytest.approx(0.7, abs=0.2)
