"""BulkService over a real channel: streams in and out."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from api import MESSAGE_LIMIT, Api, refusal
from facegrid.v1 import types_pb2 as pb
from facegrid.v1.bulk_service_pb2 import (
    EncounterLabels,
    ExportTemplatesRequest,
    ExportTemplatesResponse,
    ImportTemplatesRequest,
    ImportTemplatesResponse,
)
from facegrid.v1.bulk_service_pb2_grpc import BulkServiceStub
from facegrid.v1.identity_service_pb2 import EnrollRequest
from fakes import fake_template

FIRST = ImportTemplatesRequest(
    context=pb.RequestContext(request_id="q"), gallery="g", template_version="fake-1"
)


def columns(*names: str, total: int = 0, **more: object) -> ImportTemplatesRequest:
    """Return a message with a template of each name."""
    vectors = b"".join(fake_template(name.encode()).to_bytes() for name in names)
    return ImportTemplatesRequest(subject_ids=names, vectors=vectors, total=total, **more)


async def sent(api: Api, *requests: ImportTemplatesRequest) -> ImportTemplatesResponse:
    """Import and return the last answer."""
    answers = [one async for one in BulkServiceStub(api.channel).ImportTemplates(iter(requests))]
    return answers[-1]


async def received(api: Api, *, photographs: bool = False) -> list[ExportTemplatesResponse]:
    """Export all."""
    request = ExportTemplatesRequest(gallery="g", include_photographs=photographs)
    return [one async for one in BulkServiceStub(api.channel).ExportTemplates(request)]


async def exported(api: Api) -> list[str]:
    """Return the subjects of an export."""
    return sorted(one.subject_id for answer in await received(api) for one in answer.encounters)


async def test_what_is_imported_is_exported(api: Api) -> None:
    """Labels, norms and samples come back as they went in."""
    labels = EncounterLabels(
        metadata={"age": pb.Value(integer=7), "tall": pb.Value(flag=True)}, sub_galleries=["north"]
    )
    inactive = EncounterLabels(status=pb.STATUS_INACTIVE)
    last = columns("ann", "bob", norms=[1.5, 2], labels=[labels, inactive], total=5)
    three = columns("cid", "cid2", "cid3", sample_counts=[3])
    three.subject_ids[:] = ["cid"]
    answer = await sent(api, FIRST, three, last)
    assert (answer.received, answer.searchable, answer.repeated) == (5, 5, False)
    found = {one.subject_id: one for part in await received(api) for one in part.encounters}
    assert list(found["ann"].norms) == [1.5]
    assert found["ann"].vectors == fake_template(b"ann").to_bytes()
    assert found["ann"].encounter.metadata["age"] == pb.Value(integer=7)
    assert list(found["ann"].encounter.sub_galleries) == ["north"]
    assert found["bob"].encounter.status == pb.STATUS_INACTIVE
    assert len(found["cid"].encounter.samples) == 3
    assert found["cid"].vectors == three.vectors


async def test_a_repeated_import_gets_the_same_revision(api: Api) -> None:
    """And is told that nothing was added."""
    first = await sent(api, FIRST, columns("ann", total=1))
    again = await sent(api, FIRST, columns("ann", total=1))
    assert (again.revision, again.repeated) == (first.revision, True)
    assert await exported(api) == ["ann"]


@pytest.mark.parametrize("total", [0, 1, 3])
async def test_a_stream_without_its_end_imports_nothing(api: Api, total: int) -> None:
    """Only a total of what was sent makes it whole."""
    refused = await refusal(sent(api, FIRST, columns("ann", "bob", total=total)))
    assert refused[:3] == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "total")
    assert await exported(api) == []


async def test_a_client_that_goes_away_imports_nothing(api: Api) -> None:
    """Whatever it had sent."""
    going = asyncio.Event()

    async def requests() -> AsyncIterator[ImportTemplatesRequest]:
        yield FIRST
        yield columns("ann")
        await going.wait()

    call = BulkServiceStub(api.channel).ImportTemplates(requests())
    assert (await anext(aiter(call))).received == 0
    call.cancel()
    going.set()
    assert await exported(api) == []
    assert (await sent(api, FIRST, columns("bob", total=1))).received == 1


@pytest.mark.parametrize(
    ("requests", "reason", "field"),
    [
        ([], "INVALID_FIELD", "gallery"),
        ([columns("ann", total=1)], "INVALID_FIELD", "gallery"),
        ([FIRST], "INVALID_FIELD", "subject_ids"),
        (
            [ImportTemplatesRequest(gallery="none", template_version="fake-1"), columns("ann", total=1)],
            "GALLERY_NOT_FOUND",
            "gallery",
        ),
        (
            [ImportTemplatesRequest(gallery="g", template_version="x"), columns("ann", total=1)],
            "TEMPLATE_VERSION_MISMATCH",
            "template_version",
        ),
        (
            [FIRST, columns("ann"), ImportTemplatesRequest(vectors=b"1" * MESSAGE_LIMIT)],
            "MESSAGE_TOO_LARGE",
            "",
        ),
        ([FIRST, columns("ann", labels=[EncounterLabels(status=9)], total=1)], "INVALID_FIELD", "status"),
    ],
)
async def test_bad_imports(api: Api, requests: list[ImportTemplatesRequest], reason: str, field: str) -> None:
    """The error is that of a call with one message, and nothing was changed."""
    assert (await refusal(sent(api, *requests)))[1:3] == (reason, field)
    assert await exported(api) == []


async def test_photographs_are_sent_after_their_encounter(api: Api) -> None:
    """Each in an answer that names subject, encounter and sample; the last answer has no token."""
    sample = pb.Sample(photograph=b"ann")
    enrolled = await api.identities.Enroll(EnrollRequest(gallery="g", subject_id="ann", samples=[sample]))
    answers = await received(api, photographs=True)
    (kept,) = (one.photograph for one in answers if one.HasField("photograph"))
    encounter = enrolled.encounter.encounter_id
    assert (kept.subject_id, kept.encounter_id, kept.sample, kept.photograph) == ("ann", encounter, 0, b"ann")
    assert answers[-1].next_page_token == ""
    assert (await refusal(_export_of_none(api)))[1] == "GALLERY_NOT_FOUND"


async def _export_of_none(api: Api) -> None:
    async for _ in BulkServiceStub(api.channel).ExportTemplates(ExportTemplatesRequest(gallery="none")):
        pass
