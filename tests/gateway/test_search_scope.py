"""Filters, scopes and updates over the API."""

from collections.abc import Awaitable
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from api import Api, refusal
from facegrid.v1 import filter_pb2 as filters
from facegrid.v1 import gallery_service_pb2 as gallery_pb
from facegrid.v1 import identity_service_pb2 as identity_pb
from facegrid.v1 import types_pb2 as pb

DE = filters.Filter(equals=filters.Equality(key="country", value=pb.Value(text="DE")))
BORN = filters.Filter(
    range=filters.Range(key="born", minimum=pb.Value(integer=1970), maximum=pb.Value(integer=1980))
)
NORTH = filters.Filter(sub_galleries=filters.SubGalleries(names=["north"]))


def several(*parts: filters.Filter) -> filters.Filters:
    """Return the parts of a filter."""
    return filters.Filters(filters=parts)


async def enrol(api: Api, subject: str, born: int, gallery: str = "g") -> identity_pb.EnrollResponse:
    """Enrol a German of the north."""
    return await api.identities.Enroll(  # type: ignore[no-any-return]
        identity_pb.EnrollRequest(
            gallery=gallery,
            subject_id=subject,
            samples=[pb.Sample(photograph=b"twin")],
            metadata={"country": pb.Value(text="DE"), "born": pb.Value(integer=born)},
            sub_galleries=["north"],
        )
    )


def search(**fields: object) -> identity_pb.IdentifyRequest:
    """Return a search for everybody's twin."""
    probes = [] if "probe_subject_id" in fields else [pb.Sample(photograph=b"twin")]
    return identity_pb.IdentifyRequest(gallery="g", probes=probes, **fields)  # type: ignore[arg-type]


async def found(api: Api, **fields: object) -> list[str]:
    """Return the subjects that a search finds."""
    answer = await api.identities.Identify(search(**fields))
    return [one.subject_id for one in answer.results[0].candidates]


async def test_filters_of_every_kind(api: Api) -> None:
    """Each kind of message restricts a search."""
    await enrol(api, "ann", 1975)
    await enrol(api, "bob", 1990)
    one_of = filters.Filter(one_of=filters.Membership(key="born", values=[pb.Value(integer=1990)]))
    for wanted, expected in (
        (DE, ["ann", "bob"]),
        (BORN, ["ann"]),
        (one_of, ["bob"]),
        (NORTH, ["ann", "bob"]),
        (filters.Filter(all_of=several(DE, BORN)), ["ann"]),
        (filters.Filter(any_of=several(BORN, one_of)), ["ann", "bob"]),
        (filters.Filter(none_of=several(BORN)), ["bob"]),
    ):
        assert await found(api, filter=wanted) == expected


async def test_several_galleries_are_told_apart(api: Api) -> None:
    """Candidates and the accounts of searches name their gallery and its threshold."""
    await api.galleries.CreateGallery(
        gallery_pb.CreateGalleryRequest(name="h", identify_threshold=0.7, keep_photographs=False)
    )
    await enrol(api, "ann", 1975)
    await enrol(api, "eve", 1975, "h")
    answer = await api.identities.Identify(search(other_galleries=["h"], subject_ids=["eve", "ann"]))
    (result,) = answer.results
    assert [(one.gallery, one.subject_id) for one in result.candidates] == [("g", "ann"), ("h", "eve")]
    assert (answer.search.gallery, answer.search.threshold) == ("g", answer.threshold)
    (other,) = answer.other_searches
    assert (other.gallery, other.threshold.value, other.subjects_searched) == ("h", pytest.approx(0.7), 1)
    assert await found(api, probe_subject_id="ann", other_galleries=["h"]) == ["eve"]


async def test_labels_and_statuses_are_updated(api: Api) -> None:
    """What the mask names changes; the revision that comes back can be waited for."""
    enrolled = await enrol(api, "ann", 1975)
    updated = await api.galleries.UpdateEncounter(
        gallery_pb.UpdateEncounterRequest(
            gallery="g",
            subject_id="ann",
            encounter_id=enrolled.encounter.encounter_id,
            metadata={"country": pb.Value(text="FR")},
            update_mask=FieldMask(paths=["metadata"]),
        )
    )
    assert updated.encounter.metadata["country"].text == "FR"
    assert list(updated.encounter.sub_galleries) == ["north"]
    assert await found(api, filter=DE, min_revision=updated.revision) == []
    subject = await api.galleries.UpdateSubject(
        gallery_pb.UpdateSubjectRequest(gallery="g", subject_id="ann", status=pb.STATUS_INACTIVE)
    )
    assert (subject.subject.status, len(subject.subject.encounters)) == (pb.STATUS_INACTIVE, 0)
    assert await found(api, min_revision=subject.revision) == []
    got = await api.galleries.GetSubject(gallery_pb.GetSubjectRequest(gallery="g", subject_id="ann"))
    assert (got.subject.status, got.subject.encounters[0].status) == (pb.STATUS_INACTIVE, pb.STATUS_ACTIVE)


EMPTY = filters.Filter(all_of=several(DE, filters.Filter()))
VALUELESS = filters.Filter(any_of=several(filters.Filter(equals=filters.Equality(key="a"))))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (search(filter=filters.Filter()), "filter"),
        (search(filter=EMPTY), "filter.all_of.filters[1]"),
        (search(filter=VALUELESS), "filter.any_of.filters[0].equals.value"),
        (search(filter=filters.Filter(range=filters.Range(key="a"))), "filter.range"),
        (search(subject_ids=["a", "/"]), "subject_ids[1]"),
        (search(other_galleries=["g"]), "other_galleries"),
        (search(probe_subject_id="/"), "probe_subject_id"),
        (gallery_pb.UpdateSubjectRequest(gallery="g", subject_id="ann"), "status"),
        (gallery_pb.UpdateSubjectRequest(gallery="g", subject_id="ann", status=9), "status"),  # type: ignore[arg-type]
        (gallery_pb.UpdateEncounterRequest(gallery="g", subject_id="a", encounter_id="b"), "update_mask"),
    ],
)
async def test_what_is_refused_is_named(api: Api, request_: Any, field: str) -> None:
    """The path leads to the message at fault."""
    call: Awaitable[Any]
    if isinstance(request_, identity_pb.IdentifyRequest):
        call = api.identities.Identify(request_)
    else:
        call = getattr(api.galleries, type(request_).__name__.removesuffix("Request"))(request_)
    code, reason, named, _ = await refusal(call)
    assert (code, reason, named) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", field)
