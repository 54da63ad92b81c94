"""Pairs of subjects that look like one person."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest

from facegrid.domain.errors import InvalidField
from facegrid.domain.faces import FaceSelection
from facegrid.domain.pairs import Pair
from facegrid.domain.templates import SentTemplate, round_score
from facegrid.identity.duplicates import DuplicatesFound, DuplicatesStep, FindDuplicates
from facegrid.identity.enroll import EnrollMode
from fakes import DIMENSION
from house import House, call


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    """Yield a thread that compares."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture(params=[False, True], ids=["comparing", "searching"])
def find(
    request: pytest.FixtureRequest, house: House, thread: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> FindDuplicates:
    """Make a job of several blocks, small steps and each way to compare."""
    monkeypatch.setattr("facegrid.identity.duplicates._BLOCK_ENCOUNTERS", 7)
    monkeypatch.setattr("facegrid.identity.duplicates._ROWS_COMPARED", 5)
    monkeypatch.setattr("facegrid.identity.duplicates._PROBES_A_SEARCH", 3)
    monkeypatch.setattr("facegrid.identity.duplicates._PAIRS_A_STEP", 2)
    return FindDuplicates(house.galleries, house.records, house.projection, thread, by_search=request.param)


async def enrol(house: House, count: int, samples: int = 2) -> dict[str, np.ndarray]:
    """Enrol subjects in four crowds that look alike; return their templates."""
    random, people = np.random.default_rng(0), {}
    crowds = random.standard_normal((4, DIMENSION))
    for number in range(count):
        vectors = crowds[number % 4] + 0.6 * random.standard_normal((samples, DIMENSION))
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        people[f"person-{number}"] = vectors
        await house.enroll(
            call("Enroll"),
            "g",
            subject_id=f"person-{number}",
            mode=EnrollMode.CREATE,
            samples=[SentTemplate("fake-1", one.tobytes(), 1.0) for one in vectors],
            selection=FaceSelection.EXACTLY_ONE,
        )
    return people


def expected(people: dict[str, np.ndarray], threshold: float) -> dict[tuple[str, str], float]:
    """Return the best score of each pair that reaches a threshold."""
    scores = {
        (min(one, other), max(one, other)): round_score(
            float((people[one].astype(float) @ people[other].astype(float).T).max())
        )
        for one, other in combinations(people, 2)
    }
    return {pair: score for pair, score in scores.items() if score >= threshold}


def found(steps: list[DuplicatesStep | DuplicatesFound]) -> dict[tuple[str, str], float]:
    """Return the scores of the pairs, each of which comes once."""
    pairs = [pair for step in steps if isinstance(step, DuplicatesStep) for pair in step.pairs]
    scores = {(pair.first.subject_id, pair.second.subject_id): pair.score for pair in pairs}
    assert len(scores) == len(pairs)
    return scores


async def test_every_pair_above_the_threshold_is_found_with_its_best_score(
    house: House, find: FindDuplicates
) -> None:
    """The pairs and scores are those of brute force; the end says what was compared."""
    people = await enrol(house, 40)
    steps = [step async for step in find("g", 0.7)]
    assert found(steps) == expected(people, 0.7)
    assert len(found(steps)) > 50
    end = steps[-1]
    assert isinstance(end, DuplicatesFound)
    gallery = await house.galleries.get("g")
    assert (end.templates, end.exact, end.revision) == (80, True, house.projection.revision(gallery))
    shares = [step.share for step in steps if isinstance(step, DuplicatesStep)]
    assert shares == sorted(shares)
    assert shares[-1] == 1


async def test_the_threshold_is_the_gallerys_unless_another_is_asked_for(
    house: House, find: FindDuplicates
) -> None:
    """A score equal to it counts, as it does for Identify."""
    people = await enrol(house, 12, samples=1)
    assert found([step async for step in find("g")]) == expected(people, 0.6)
    lowest = min(expected(people, 0.6).values())
    assert lowest in found([step async for step in find("g", lowest)]).values()


async def test_a_job_goes_on_where_its_cursor_says(house: House, find: FindDuplicates) -> None:
    """Broken off anywhere: what came up to a cursor and what comes after it are all pairs, in one order."""
    await enrol(house, 30)
    whole = [step async for step in find("g", 0.7)]
    steps = [step for step in whole if isinstance(step, DuplicatesStep)]
    everything = [pair for step in steps for pair in step.pairs]
    cursors = [(place, step.cursor) for place, step in enumerate(steps) if step.cursor]
    assert len(cursors) > 3
    for place, cursor in cursors:
        before: list[Pair] = [pair for step in steps[: place + 1] for pair in step.pairs]
        rest = [step async for step in find("g", cursor=cursor)]
        assert before + [p for step in rest[:-1] for p in step.pairs] == everything
        assert rest[-1].threshold == 0.7


async def test_deleted_subjects_are_in_no_pair(house: House, find: FindDuplicates) -> None:
    """Also where their templates were the best."""
    people = await enrol(house, 16)
    for name in ("person-1", "person-5"):
        await house.subjects.delete(call("DeleteSubject"), "g", name)
        del people[name]
    assert found([step async for step in find("g", 0.6)]) == expected(people, 0.6)


async def test_an_empty_gallery_has_no_pairs(find: FindDuplicates) -> None:
    """Its job ends at once."""
    steps = [step async for step in find("g")]
    assert found(steps) == {}
    assert steps[-1].templates == 0


@pytest.mark.parametrize(
    ("threshold", "cursor", "field"),
    [
        (2.0, "", "threshold"),
        (None, "what", "cursor"),
        (None, "other:0.5:7:1:0", "cursor"),
        (None, "{id}:0.5:7:1:2", "cursor"),
        (None, "{id}:0.5:7", "cursor"),
        (0.6, "{id}:0.5:7:1:0", "threshold"),
        (-1.0, "", "threshold"),
    ],
)
async def test_bad_requests_name_the_field(
    house: House,
    find: FindDuplicates,
    monkeypatch: pytest.MonkeyPatch,
    *,
    threshold: float | None,
    cursor: str,
    field: str,
) -> None:
    """A cursor of another job, a threshold that is no score, and one that too many pairs reach."""
    monkeypatch.setattr("facegrid.identity.duplicates._MOST_PAIRS", 10)
    await enrol(house, 12, samples=1)
    gallery = await house.galleries.get("g")
    with pytest.raises(InvalidField) as caught:
        async for _ in find("g", threshold, cursor.replace("{id}", gallery.gallery_id)):
            pass
    assert caught.value.field == field
