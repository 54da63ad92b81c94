"""Audits: an index held against exact search with probes that it does not contain."""

import numpy as np
import pytest

from facegrid.domain.errors import GalleryNotFound, InvalidField
from facegrid.identity.audit import GalleryAudit
from facegrid.identity.compaction import Compact
from facegrid.identity.probing import Trials
from facegrid.identity.progress import Progress
from house import House, call
from populace import enrol_people


async def audit(house: House, sample: int = 100) -> GalleryAudit:
    """Audit the gallery "g"."""
    return await house.audit(call("AuditGallery"), "g", sample, lambda _: None)


async def test_an_exact_index_misses_nothing(house: House) -> None:
    """All mates are found, all candidates agree, and both kinds of subjects are counted."""
    await enrol_people(house, one=30, several=20)
    found = await audit(house)
    assert (found.exact, found.subjects, found.trial.templates) == (True, 50, 90)
    for tally in (found.outcome.one, found.outcome.several):
        assert (tally.probes, tally.sought, tally.missed) == (100, 100, 0)
        assert tally.recall_at_1.value == tally.recall_at_10.value == 1.0
        assert tally.added_miss_rate.high == pytest.approx(0.036, abs=1e-3)
    assert len(found.outcome.times_ms) == 200


async def test_what_an_approximate_index_misses_is_measured(lossy: House) -> None:
    """Half of the lists are read: half of the lone templates are missed, and of three the subject seldom."""
    await enrol_people(lossy, one=100, several=100)
    found = await audit(lossy, 400)
    assert not found.exact
    one, several = found.outcome.one, found.outcome.several
    assert one.sought == 400
    assert one.added_miss_rate.value == pytest.approx(0.5, abs=0.2)
    assert 0.0 < several.added_miss_rate.value < 0.3
    assert one.recall_at_1.value == pytest.approx(1 - one.added_miss_rate.value, abs=0.05)


async def test_scores_of_probes_are_those_of_mates_where_there_are_enough(house: House) -> None:
    """The audit says how many scores were measured, and whether probes have them."""
    await enrol_people(house, one=30, several=20)
    few, many = await audit(house, 100), await audit(house, 200)
    assert (few.trial.probes.measured_scores, few.trial.probes.measured) == (100, False)
    assert (many.trial.probes.measured_scores, many.trial.probes.measured) == (200, True)


async def test_no_probe_is_in_the_index(house: House) -> None:
    """Probes are new templates: none is equal to a stored one."""
    await enrol_people(house, one=20, several=10)
    probes = (await audit(house, 50)).trial.probes
    best = [(one.vectors @ probe).max() for one, probe in zip(probes.subjects, probes.vectors, strict=True)]
    assert max(best) < 0.9999


async def test_compacted_and_loose_records_are_read_alike(house: House) -> None:
    """Every template counts once, whichever form it has, and a deleted one no more."""
    await enrol_people(house, one=10, several=5)
    assert await Compact(house.galleries, house.records, house.projection, house.subjects._writes, 1)() == 1
    await enrol_people(house, one=10, several=0, prefix="later")
    await house.subjects.delete(call("DeleteSubject"), "g", "one0")
    found = await audit(house)
    assert (found.subjects, found.trial.templates) == (24, 34)
    assert found.outcome.one.missed == found.outcome.several.missed == 0


async def test_a_subject_that_is_deleted_during_an_audit_is_not_missed(house: House) -> None:
    """What goes between the exact search and that of the index is left out of the count."""
    await enrol_people(house, one=4, several=0)
    gallery = await house.galleries.get("g")
    trials = Trials(house.records, house.projection, house.threads)
    trial = await trials.prepare(gallery, 40, lambda _: None)
    await house.subjects.delete(call("DeleteSubject"), "g", "one2")
    outcome = await trials.search(trial, gallery, lambda _: None)
    lost = sum(one.subject_id == "one2" for one in trial.probes.subjects)
    assert lost > 0
    assert (outcome.one.probes, outcome.one.missed) == (40 - lost, 0)


async def test_an_empty_gallery_has_nothing_to_miss(house: House) -> None:
    """An audit of nobody is no error, and proves nothing."""
    found = await audit(house)
    assert found.outcome.one.probes == found.outcome.several.probes == found.trial.templates == 0


async def test_an_audit_says_how_far_it_is(house: House) -> None:
    """Its steps come in order, each up to its end."""
    await enrol_people(house, one=10, several=0)
    reported: list[Progress] = []
    await house.audit(call("AuditGallery"), "g", 30, reported.append)
    steps = list(dict.fromkeys(one.step for one in reported))
    assert steps == [
        "building the index",
        "counting templates",
        "drawing subjects",
        "searching exactly",
        "searching the index",
    ]
    assert all(one.done <= one.total for one in reported if one.total)
    assert (reported[-1].done, reported[-1].total) == (30, 30)


@pytest.mark.parametrize("sample", [0, -1, 100_001])
async def test_the_number_of_probes_is_limited(house: House, sample: int) -> None:
    """1 to 100,000 probes can be asked for."""
    with pytest.raises(InvalidField, match="sample"):
        await audit(house, sample)


async def test_a_gallery_that_is_not_there_cannot_be_audited(house: House) -> None:
    """Its name is at fault."""
    with pytest.raises(GalleryNotFound):
        await house.audit(call("AuditGallery"), "nobody", 10, lambda _: None)


async def test_records_are_read_beside_writers(house: House) -> None:
    """An enrolment that is under way while an audit reads is neither disturbed nor seen in part."""
    await enrol_people(house, one=5, several=0)
    gallery = await house.galleries.get("g")
    stream = house.records.live_rows(gallery)
    first = await anext(stream)
    await enrol_people(house, one=5, several=0, prefix="later")
    rest = [rows async for rows in stream]
    seen = {name for rows in [first, *rest] for name in rows.subject_ids}
    assert {f"one{number}" for number in range(5)} <= seen
    assert (await audit(house)).trial.templates == 10
    assert np.isfinite(first.vectors).all()
