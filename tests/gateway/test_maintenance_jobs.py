"""Rebuilds, checks and duplicates over a real channel."""

from typing import Any

import grpc
import pytest

from api import Api, refusal
from facegrid.v1 import identity_service_pb2 as identity_pb
from facegrid.v1 import maintenance_service_pb2 as pb
from facegrid.v1 import types_pb2


async def enrol(api: Api, *people: str) -> list[str]:
    """Enrol a photograph of each subject; return the encounters' ids."""
    answers = [
        await api.identities.Enroll(
            identity_pb.EnrollRequest(
                gallery="g",
                subject_id=person.replace("#", "-"),
                samples=[types_pb2.Sample(photograph=person.encode())],
            )
        )
        for person in people
    ]
    return [answer.encounter.encounter_id for answer in answers]


async def all_of(stream: Any) -> list[Any]:
    """Return the messages of a stream."""
    return [message async for message in stream]


async def test_a_rebuild_ends_with_what_the_index_holds(api: Api) -> None:
    """Progress counts encounters; the index shows the revision that is named."""
    await enrol(api, "ann", "bob")
    *steps, last = await all_of(api.maintenance.RebuildIndex(pb.RebuildIndexRequest(gallery="g")))
    assert {step.progress.step for step in steps} == {"rebuilding"}
    assert (last.rebuilt.encounters, last.rebuilt.templates) == (2, 2)
    found = await api.identities.Identify(
        identity_pb.IdentifyRequest(
            gallery="g",
            probes=[types_pb2.Sample(photograph=b"ann")],
            min_revision=last.rebuilt.gallery_revision,
        )
    )
    assert found.results[0].candidates[0].subject_id == "ann"


async def test_a_check_names_what_is_wrong_and_a_repair_mends_it(api: Api) -> None:
    """A lost row is told, mended, and then nothing is left to tell."""
    (ann,) = await enrol(api, "ann")
    gallery = await api.house.galleries.get("g")
    await api.house.index.remove(gallery.gallery_id, [ann])
    for repair, sound in ((False, False), (True, True)):
        request = pb.CheckGalleryRequest(gallery="g", repair=repair)
        steps = await all_of(api.maintenance.CheckGallery(request))
        (finding,) = [step.finding for step in steps if step.HasField("finding")]
        assert finding == pb.Finding(problem=pb.PROBLEM_NOT_INDEXED, name=ann, repaired=repair)
        check = steps[-1].check
        assert (check.encounters, check.samples, check.complete, check.sound) == (1, 1, True, sound)
        assert list(check.problems) == [
            pb.ProblemCount(problem=pb.PROBLEM_NOT_INDEXED, found=1, repaired=int(repair))
        ]
    steps = await all_of(api.maintenance.CheckGallery(pb.CheckGalleryRequest(gallery="g")))
    assert (steps[-1].check.indexed, list(steps[-1].check.problems)) == (1, [])


async def test_duplicates_come_with_their_samples_and_a_cursor(api: Api) -> None:
    """A job that is asked for again with the last cursor has nothing left to tell."""
    ids = await enrol(api, "ann", "ann#2", "bob")
    request = pb.FindDuplicatesRequest(gallery="g")
    *_, found, end = await all_of(api.maintenance.FindDuplicates(request))
    (pair,) = found.duplicates.pairs
    assert pair.first == pb.PairedSample(subject_id="ann", encounter_id=ids[0])
    assert pair.second == pb.PairedSample(subject_id="ann-2", encounter_id=ids[1])
    assert 0.9 < pair.score < 1
    assert (end.result.templates, end.result.threshold) == (3, 0.6)
    assert end.result.method == types_pb2.SEARCH_METHOD_EXACT
    again = pb.FindDuplicatesRequest(gallery="g", cursor=found.duplicates.cursor)
    (end,) = await all_of(api.maintenance.FindDuplicates(again))
    assert end.result.threshold == 0.6
    none = pb.FindDuplicatesRequest(gallery="g", threshold=0.999)
    assert not [step for step in await all_of(api.maintenance.FindDuplicates(none)) if step.duplicates.pairs]


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("RebuildIndex", pb.RebuildIndexRequest(gallery="none"), "gallery"),
        ("CheckGallery", pb.CheckGalleryRequest(gallery="none"), "gallery"),
        ("FindDuplicates", pb.FindDuplicatesRequest(gallery="none"), "gallery"),
        ("FindDuplicates", pb.FindDuplicatesRequest(gallery="g", threshold=1.5), "threshold"),
        ("FindDuplicates", pb.FindDuplicatesRequest(gallery="g", cursor="x"), "cursor"),
    ],
)
async def test_bad_requests_name_the_field(api: Api, method: str, request_: Any, field: str) -> None:
    """Before anything is streamed."""
    code, _, named, _ = await refusal(all_of(getattr(api.maintenance, method)(request_)))
    assert (named, code) in {
        (field, grpc.StatusCode.NOT_FOUND),
        (field, grpc.StatusCode.INVALID_ARGUMENT),
    }
