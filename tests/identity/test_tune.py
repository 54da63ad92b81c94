"""Tuning: how hard an approximate index must search."""

import pytest

from facegrid.domain.errors import InvalidField
from facegrid.identity.tune import GalleryTuning, Goal, Verdict
from house import House, call
from lossy_index import LISTS
from populace import enrol_people


async def tune(house: House, goal: Goal, sample: int = 0, *, apply: bool = False) -> GalleryTuning:
    """Tune the gallery "g"."""
    return await house.tune(call("TuneGallery"), "g", goal, sample, lambda _: None, apply=apply)


async def nprobe(house: House) -> int:
    """Return how many lists searches of "g" read."""
    return (await house.galleries.get("g")).index.nprobe


async def test_the_smallest_effort_that_keeps_the_bound_is_found_and_set(lossy: House) -> None:
    """All lists are needed for one miss in a hundred; for two in three missed, a part of them is enough."""
    await enrol_people(lossy, one=150, several=10)
    tuning = await tune(lossy, Goal(0.01, 0), apply=True)
    assert (tuning.verdict, tuning.effort, tuning.applied) == (Verdict.FOUND, LISTS, True)
    assert [one.effort for one in tuning.trials][-2:] == [LISTS, LISTS // 2]
    assert tuning.trials[-1].tally.missed > 0
    assert tuning.trials[0].tally.sought >= tuning.goal.sample_needed == 299
    assert await nprobe(lossy) == LISTS

    loose = await tune(lossy, Goal(0.67, 0), sample=200, apply=True)
    assert loose.effort < LISTS
    assert await nprobe(lossy) == loose.effort


async def test_nothing_is_changed_unless_that_is_asked_for(lossy: House) -> None:
    """A tuning without `apply` only says what it would set."""
    await enrol_people(lossy, one=40, several=0)
    tuning = await tune(lossy, Goal(0.01, 0))
    assert (tuning.verdict, tuning.applied) == (Verdict.FOUND, False)
    assert await nprobe(lossy) == LISTS // 2


async def test_too_few_probes_prove_nothing(lossy: House) -> None:
    """A thousandth takes 2,995 mates that are found: fewer change nothing, and no search is made."""
    await enrol_people(lossy, one=10, several=0)
    tuning = await tune(lossy, Goal(0.001, 0), sample=2994, apply=True)
    assert (tuning.verdict, tuning.effort, tuning.applied) == (Verdict.SAMPLE_TOO_SMALL, 0, False)
    assert (list(tuning.trials), tuning.goal.sample_needed) == ([], 2995)
    assert await nprobe(lossy) == LISTS // 2


async def test_an_empty_gallery_proves_nothing(lossy: House) -> None:
    """Where nobody is enrolled, nothing can be missed, and nothing is known."""
    tuning = await tune(lossy, Goal(0.01, 0), apply=True)
    assert (tuning.verdict, tuning.applied) == (Verdict.SAMPLE_TOO_SMALL, False)


async def test_a_time_that_no_effort_keeps_is_said(lossy: House) -> None:
    """The effort that keeps the bound takes longer than a microsecond: nothing is changed."""
    await enrol_people(lossy, one=40, several=0)
    tuning = await tune(lossy, Goal(0.01, 0.001), apply=True)
    assert (tuning.verdict, tuning.effort, tuning.applied) == (Verdict.TOO_SLOW, 0, False)
    assert tuning.trials
    assert await nprobe(lossy) == LISTS // 2


async def test_a_bound_that_the_greatest_effort_breaks_is_said(lossy: House) -> None:
    """An index that lost rows misses their subjects however hard it searches: nothing is changed."""
    await enrol_people(lossy, one=20, several=0)
    gallery = await lossy.galleries.get("g")
    subject = await lossy.records.subject(gallery, "one7")
    assert subject
    await lossy.index.remove(gallery.gallery_id, [subject.encounters[0].encounter_id])
    tuning = await tune(lossy, Goal(0.01, 0), apply=True)
    assert (tuning.verdict, tuning.applied) == (Verdict.BOUND_NOT_MET, False)
    assert len(tuning.trials) == 1


async def test_subjects_with_several_templates_count_where_there_are_no_others(lossy: House) -> None:
    """The bound is on those with one template; a gallery without such is held to it all the same."""
    await enrol_people(lossy, one=0, several=30)
    tuning = await tune(lossy, Goal(0.5, 0))
    assert tuning.verdict is Verdict.FOUND
    assert tuning.effort < LISTS


async def test_an_exact_gallery_has_nothing_to_tune(house: House) -> None:
    """The gallery is at fault."""
    with pytest.raises(InvalidField) as caught:
        await tune(house, Goal(0.01, 0))
    assert caught.value.field == "gallery"


@pytest.mark.parametrize(("rate", "most_ms"), [(0, 0), (1, 0), (-0.1, 0), (0.1, -1), (float("nan"), 0)])
def test_a_goal_that_cannot_be_reached_is_refused(rate: float, most_ms: float) -> None:
    """A bound lies between 0 and 1, a time is no less than 0."""
    with pytest.raises(InvalidField):
        Goal(rate, most_ms)
