"""MaintenanceService over a real channel."""

import asyncio

import grpc
import pytest

from api import Api, refusal
from facegrid.v1 import identity_service_pb2 as identity_pb
from facegrid.v1 import maintenance_service_pb2 as pb
from facegrid.v1 import types_pb2
from house import House
from populace import enrol_people


async def test_an_audit_is_a_stream_that_ends_with_what_was_found(api: Api) -> None:
    """The last message has counts, shares with intervals, and times; those before it have steps."""
    await enrol_people(api.house, one=20, several=10)
    call = api.maintenance.AuditGallery(pb.AuditGalleryRequest(gallery="g", sample=50))
    *steps, last = [message async for message in call]
    assert all(message.HasField("progress") for message in steps)
    audit = last.audit
    assert (audit.method, audit.subjects, audit.templates) == (types_pb2.SEARCH_METHOD_EXACT, 30, 50)
    for probes in (audit.one_template, audit.several_templates):
        assert (probes.probes, probes.mates_found, probes.missed) == (50, 50, 0)
        assert probes.recall_at_1 == pb.Share(value=1, low=probes.recall_at_1.low, high=1)
        assert 0.9 < probes.recall_at_1.low < 1
        assert 0 < probes.added_miss_rate.high < 0.1
    assert 0 < audit.search_p50_ms <= audit.search_p99_ms
    assert audit.gallery_revision
    assert audit.mated_scores == 50


async def test_a_share_of_nothing_is_absent(api: Api) -> None:
    """Where nothing was counted no share is feigned."""
    *_, last = [one async for one in api.maintenance.AuditGallery(pb.AuditGalleryRequest(gallery="g"))]
    assert not last.audit.one_template.HasField("added_miss_rate")
    assert not last.audit.one_template.HasField("recall_at_1")


@pytest.mark.parametrize(
    ("audited", "reason", "field"),
    [
        (pb.AuditGalleryRequest(gallery="h"), "GALLERY_NOT_FOUND", "gallery"),
        (pb.AuditGalleryRequest(gallery="g", sample=-1), "INVALID_FIELD", "sample"),
        (pb.TuneGalleryRequest(gallery="g", max_added_miss_rate=0.01), "INVALID_FIELD", "gallery"),
        (pb.TuneGalleryRequest(gallery="g"), "INVALID_FIELD", "max_added_miss_rate"),
    ],
)
async def test_a_bad_request_is_refused(
    api: Api, audited: pb.AuditGalleryRequest | pb.TuneGalleryRequest, reason: str, field: str
) -> None:
    """A stream is refused as any call, with reason and field."""
    stub = api.maintenance
    method = stub.AuditGallery if isinstance(audited, pb.AuditGalleryRequest) else stub.TuneGallery
    assert (await refusal(anext(aiter(method(audited)))))[1:3] == (reason, field)


async def test_an_audit_that_nobody_waits_for_is_called_off(api: Api) -> None:
    """Cancelling the call ends the work; the gallery can be compacted and searched again."""
    reading, house = asyncio.Event(), api.house
    records_rows = house.records.live_rows

    async def endless_rows(gallery: object) -> object:
        async for rows in records_rows(gallery):  # type: ignore[arg-type]
            yield rows
            reading.set()
            await asyncio.Event().wait()

    house.records.live_rows = endless_rows  # type: ignore[method-assign,assignment]
    call = api.maintenance.AuditGallery(pb.AuditGalleryRequest(gallery="g"))
    waiting = asyncio.ensure_future(anext(aiter(call)))
    await reading.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    house.records.live_rows = records_rows  # type: ignore[method-assign]
    gallery = await house.galleries.get("g")
    async with asyncio.timeout(5):
        await _compacted(house, gallery)


async def _compacted(house: House, gallery: object) -> None:
    await house.records.compact(gallery, house.subjects._writes.hold)  # type: ignore[arg-type]


async def test_metrics_count_calls_and_stages_and_say_what_can_be_searched(api: Api) -> None:
    """Calls by method and code, seconds of the parts of a search, and subjects by gallery."""
    await enrol_people(api.house, one=3, several=0)
    probe = types_pb2.Sample(photograph=b"ann")
    await api.identities.Identify(identity_pb.IdentifyRequest(gallery="g", probes=[probe]))
    await refusal(api.identities.Identify(identity_pb.IdentifyRequest(gallery="h", probes=[probe])))
    value = api.metrics.registry.get_sample_value
    assert value("facegrid_calls_total", {"method": "Identify", "code": "OK"}) == 1
    assert value("facegrid_calls_total", {"method": "Identify", "code": "NOT_FOUND"}) == 1
    assert value("facegrid_call_seconds_count", {"method": "Identify"}) == 2
    for stage in ("detect", "embed", "search"):
        assert value("facegrid_search_stage_seconds_count", {"stage": stage}) == 1
    assert value("facegrid_gallery_subjects", {"gallery": "g"}) == 3
    assert value("facegrid_gallery_exact", {"gallery": "g"}) == 1


async def test_a_call_that_its_client_gives_up_counts_as_cancelled(api: Api) -> None:
    """A code of its own tells it from an answer."""
    waiting = asyncio.Event()

    async def slow_detect(*_: object) -> None:
        waiting.set()
        await asyncio.Event().wait()

    api.house.vision.detect = slow_detect  # type: ignore[method-assign,assignment]
    request = identity_pb.IdentifyRequest(gallery="g", probes=[types_pb2.Sample(photograph=b"ann")])
    call = api.identities.Identify(request)
    pending = asyncio.ensure_future(_answer(call))
    await waiting.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pending
    value = api.metrics.registry.get_sample_value
    async with asyncio.timeout(5):
        while not value("facegrid_calls_total", {"method": "Identify", "code": "CANCELLED"}):
            await asyncio.sleep(0.01)


async def _answer(call: grpc.aio.UnaryUnaryCall) -> object:
    return await call
