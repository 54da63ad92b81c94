"""Restricted searches of the resident index: whatever is asked for, brute force finds the same."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facegrid.domain.faces import Floats
from facegrid.domain.filters import UNRESTRICTED, Equals, Filter, OneOf, Restriction, matches
from facegrid.domain.galleries import IndexRows
from facegrid.domain.labels import NO_LABELS, Labels
from facegrid.storage.indexes import label_sets, vectors
from facegrid.storage.indexes.label_sets import LabelSets
from facegrid.storage.indexes.resident import ResidentIndex
from facegrid.storage.indexes.row_labels import RowLabels
from labelled import FILTERS, LABELS

DIMENSION = 16
SUBJECTS = [f"s{number}" for number in range(40)]


@pytest.fixture(autouse=True, scope="module")
def _small_steps() -> Iterator[None]:
    """Make blocks of 64 rows and scans that fetch few of them; forget unused labels early."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "BLOCK_ROWS", 64)
        patch.setattr(vectors, "_FETCHED", 1)
        patch.setattr(vectors, "_FETCHED_PER_BLOCK", 1)
        patch.setattr(label_sets, "_MOST_UNUSED", 4)
        patch.setattr(label_sets, "_MOST_KNOWN", 8)
        yield


@pytest.fixture
async def index() -> AsyncIterator[ResidentIndex]:
    """Open an index with a gallery "g"."""
    made = ResidentIndex(2)
    await made.open("g", "v1", DIMENSION)
    yield made
    made.close()


def unit_vectors(rng: np.random.Generator, count: int) -> Floats:
    """Return float32 (count, DIMENSION), each of length 1."""
    found = rng.standard_normal((count, DIMENSION)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def rows(rng: np.random.Generator, names: Sequence[str], labels: Sequence[Labels]) -> IndexRows:
    """Return a row for each encounter, of a random subject."""
    owners = [SUBJECTS[number] for number in rng.integers(0, len(SUBJECTS), len(names))]
    return IndexRows(owners, names, [0] * len(names), unit_vectors(rng, len(names)), labels)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    labels=st.lists(LABELS, min_size=1, max_size=12),
    wanted=FILTERS,
    included=st.none() | st.sets(st.sampled_from(SUBJECTS)),
    excluded=st.sets(st.sampled_from(SUBJECTS)),
    seed=st.integers(0, 2**32),
)
async def test_a_restricted_search_is_brute_force(
    labels: list[Labels], wanted: Filter, included: set[str] | None, excluded: set[str], seed: int
) -> None:
    """After additions, changes and removals the best of the rows allowed are found, with their scores."""
    rng = np.random.default_rng(seed)
    held = rows(rng, [f"e{n}" for n in range(300)], [labels[n] for n in rng.integers(0, len(labels), 300)])
    changed = rows(rng, [f"e{n}" for n in range(0, 300, 3)], [labels[0]] * 100)
    gone = {f"e{n}" for n in rng.integers(0, 300, 60)}
    index = ResidentIndex(2)
    await index.open("g", "v1", DIMENSION)
    await index.add("g", held)
    await index.add("g", changed)
    await index.remove("g", sorted(gone))
    restriction = Restriction(wanted, None if included is None else frozenset(included), frozenset(excluded))
    expected = {}
    probe = unit_vectors(rng, 1)
    for part in (held, changed):
        for row, name in enumerate(part.encounter_ids):
            score = float(part.vectors[row].astype(np.float64) @ probe[0].astype(np.float64))
            expected[name] = (score, restriction.allows(part.subject_ids[row], part.labels[row]))
    best = sorted(
        (-score, name) for name, (score, allowed) in expected.items() if allowed and name not in gone
    )
    for limit in (1, 7, 400):
        (hits,) = await index.search("g", probe, limit, restriction=restriction)
        assert [hit.encounter_id for hit in hits] == [name for _, name in best[:limit]]
        assert [hit.score for hit in hits] == [round(-score, 6) for score, _ in best[:limit]]
    index.close()


async def test_searches_at_once_keep_to_their_own_restrictions(index: ResidentIndex) -> None:
    """What waits together is done together only where it asks for the same; 1 and True are not the same."""
    rng = np.random.default_rng(0)
    labels = [Labels({"a": value}) for value in (1, True, 1.0, "1")]
    await index.add("g", rows(rng, [f"e{n}" for n in range(400)], [labels[n % 4] for n in range(400)]))
    probe = unit_vectors(rng, 1)
    searches = [
        index.search("g", probe, 400, restriction=restriction)
        for one in labels
        for restriction in (Restriction(Equals("a", one.metadata["a"])), UNRESTRICTED)
    ]
    found = [hits for (hits,) in await asyncio.gather(*searches)]
    for place in range(4):
        assert {int(hit.encounter_id[1:]) % 4 for hit in found[2 * place]} == {place}
        assert len(found[2 * place]) == 100
        assert len(found[2 * place + 1]) == 400


@settings(deadline=None)
@given(labels=st.lists(LABELS, min_size=1, max_size=30), wanted=FILTERS)
def test_sets_of_labels_are_what_they_were_given(labels: list[Labels], wanted: Filter) -> None:
    """The columns give the answers of the reference, before and after what is unused was forgotten."""
    sets = LabelSets()
    numbers = label_sets.Numbers("i", [sets.take(one) for one in labels])
    assert [sets.matching(wanted)[number] for number in numbers] == [matches(wanted, one) for one in labels]
    for number in numbers[::2]:
        sets.release(number)
    left = sets.prune(numbers[1::2])
    assert [sets.matching(wanted)[number] for number in left] == [
        matches(wanted, one) for one in labels[1::2]
    ]
    assert len(sets.matching(wanted)) <= len(left) + 1


def test_labels_that_come_again_take_no_memory() -> None:
    """Rows of equal labels share a set, and a row that changes for ever leaves nothing behind."""
    labels = RowLabels()
    for place in range(100):
        labels.put(place, "ann", Labels({"born": 1980 + place % 5}))
    for time in range(5000):
        labels.put(7, "ann", Labels({"seen": time}))
    assert len(labels._sets._rows) < 200
    assert len(labels._sets._columns["seen", int]._values) < 200
    allowed = labels.allowed(Restriction(OneOf("born", (1980, 1981))), ["ann"] * 100)
    assert allowed.sum() == 40
    labels.put(7, "ann", NO_LABELS)
    assert not labels.allowed(Restriction(Equals("seen", 4999)), ["ann"] * 100).any()
