"""MigrationService over a real channel."""

import grpc
import pytest

from api import Api, refusal
from facegrid.domain.packs import Pack
from facegrid.v1 import gallery_service_pb2 as gallery_pb
from facegrid.v1 import identity_service_pb2 as identity_pb
from facegrid.v1 import migration_service_pb2 as pb
from facegrid.v1 import types_pb2
from facegrid.v1.migration_service_pb2_grpc import MigrationServiceStub
from fakes import fake_pack, fake_template


@pytest.fixture
def stub(api: Api) -> MigrationServiceStub:
    """Return the stub of a server with a pack to move to."""
    pack: Pack = fake_pack("new", "new-1")
    api.house.vision.packs["new"] = pack
    return MigrationServiceStub(api.channel)


async def test_a_migration_from_start_to_end(api: Api, stub: MigrationServiceStub) -> None:
    """Each call says where the migration stands, and so does the gallery."""
    for subject, sample in (
        ("ann", types_pb2.Sample(photograph=b"ann")),
        ("bob", types_pb2.Sample(template=_template(b"bob"))),
    ):
        request = identity_pb.EnrollRequest(gallery="g", subject_id=subject, samples=[sample])
        await api.identities.Enroll(request)
    request = pb.StartMigrationRequest(gallery="g", pack="new", identify_threshold=0.7, shadow=0.5)
    started = (await stub.StartMigration(request)).migration
    assert (started.state, started.former_pack, started.pack) == (
        types_pb2.MIGRATION_STATE_COPYING,
        "fake",
        "new",
    )
    assert (started.template_version, started.shadow, started.subject_count) == ("new-1", 0.5, 2)
    assert (await _gallery(api)).migration == types_pb2.MIGRATION_STATE_COPYING
    await api.house.migrate()
    watched = [one.migration async for one in stub.WatchMigration(pb.WatchMigrationRequest(gallery="g"))]
    assert watched[-1].state == types_pb2.MIGRATION_STATE_READY
    assert (watched[-1].subjects_done, watched[-1].left_behind, watched[-1].problem) == (2, 1, "")
    (left,) = (await stub.ListLeftBehind(pb.ListLeftBehindRequest(gallery="g"))).encounters
    assert (left.subject_id, left.reason) == ("bob", pb.LEFT_BEHIND_REASON_PHOTOGRAPH_NOT_KEPT)
    code, reason, field, _ = await refusal(stub.CutOver(pb.CutOverRequest(gallery="g")))
    assert (code, reason, field) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "WRONG_MIGRATION_STATE",
        "leave_behind",
    )
    over = (await stub.CutOver(pb.CutOverRequest(gallery="g", leave_behind=True))).migration
    assert over.state == types_pb2.MIGRATION_STATE_CUT_OVER
    gallery = await _gallery(api)
    assert (gallery.pack, round(gallery.identify_threshold.value, 6)) == ("new", 0.7)
    back = (await stub.RollBack(pb.RollBackRequest(gallery="g"))).migration
    assert back.state == types_pb2.MIGRATION_STATE_READY
    await stub.CutOver(pb.CutOverRequest(gallery="g", leave_behind=True))
    await stub.FinishMigration(pb.FinishMigrationRequest(gallery="g", leave_behind=True))
    assert (await _gallery(api)).migration == types_pb2.MIGRATION_STATE_UNSPECIFIED


async def test_what_is_not_moving_has_no_migration(stub: MigrationServiceStub) -> None:
    """Each call says so, the stream as well; a gallery that is not there is told from that."""
    for call in (
        stub.GetMigration(pb.GetMigrationRequest(gallery="g")),
        stub.ListLeftBehind(pb.ListLeftBehindRequest(gallery="g")),
        stub.CutOver(pb.CutOverRequest(gallery="g")),
        stub.RollBack(pb.RollBackRequest(gallery="g")),
        stub.FinishMigration(pb.FinishMigrationRequest(gallery="g")),
        stub.CancelMigration(pb.CancelMigrationRequest(gallery="g")),
        _first(stub.WatchMigration(pb.WatchMigrationRequest(gallery="g"))),
    ):
        assert (await refusal(call))[1] == "WRONG_MIGRATION_STATE"
    missing = pb.StartMigrationRequest(gallery="none", pack="new")
    assert (await refusal(stub.StartMigration(missing)))[1] == "GALLERY_NOT_FOUND"


async def test_a_copying_that_is_held_up_says_why(api: Api, stub: MigrationServiceStub) -> None:
    """The pack is gone: the migration names it, and goes on when it is back."""
    request = identity_pb.EnrollRequest(
        gallery="g", subject_id="ann", samples=[types_pb2.Sample(photograph=b"ann")]
    )
    await api.identities.Enroll(request)
    await stub.StartMigration(pb.StartMigrationRequest(gallery="g", pack="new"))
    pack = api.house.vision.packs.pop("new")
    with pytest.raises(Exception, match="does not hold"):
        await api.house.migrate()
    found = (await stub.GetMigration(pb.GetMigrationRequest(gallery="g"))).migration
    assert "'new'" in found.problem
    api.house.vision.packs["new"] = pack
    await api.house.migrate()
    found = (await stub.GetMigration(pb.GetMigrationRequest(gallery="g"))).migration
    assert (found.problem, found.state) == ("", types_pb2.MIGRATION_STATE_READY)


def _template(photograph: bytes) -> types_pb2.Template:
    template = fake_template(photograph)
    return types_pb2.Template(template_version=template.version, vector=template.to_bytes())


async def _gallery(api: Api) -> types_pb2.Gallery:
    answer: gallery_pb.GetGalleryResponse = await api.galleries.GetGallery(
        gallery_pb.GetGalleryRequest(name="g")
    )
    return answer.gallery


async def _first(stream: grpc.aio.UnaryStreamCall) -> object:
    async for answer in stream:
        return answer
    return None
