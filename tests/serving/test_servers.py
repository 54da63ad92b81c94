"""Several servers on one bucket and one Milvus server: one of them writes, all of them answer."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from uuid import uuid4

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from facegrid.v1 import gallery_service_pb2 as gallery_pb
from facegrid.v1 import identity_service_pb2 as identity_pb
from facegrid.v1 import types_pb2 as pb
from facegrid.v1.gallery_service_pb2_grpc import GalleryServiceStub
from facegrid.v1.identity_service_pb2_grpc import IdentityServiceStub
from s3_servers import S3Server
from server_process import ServerProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

_numbers = count()
_DIMENSION, _TIMEOUT_S, _SEEN_WITHIN_S = 128, 30, 1.0


class Site:
    """One server as a client sees it."""

    def __init__(self, address: str) -> None:
        """Connect."""
        self.channel = grpc.insecure_channel(address)
        self.galleries, self.identities = GalleryServiceStub(self.channel), IdentityServiceStub(self.channel)

    def create(self, gallery: str) -> str:
        """Make a gallery; returns its template version."""
        request = gallery_pb.CreateGalleryRequest(name=gallery)
        answer = self.galleries.CreateGallery(_named(request), timeout=_TIMEOUT_S)
        return str(answer.gallery.template_version)

    def enrol(self, gallery: str, subject: str, template: pb.Template, mode: str = "CREATE") -> str:
        """Enrol a template; returns the revision."""
        request = identity_pb.EnrollRequest(
            gallery=gallery,
            subject_id=subject,
            samples=[pb.Sample(template=template)],
            mode=identity_pb.EnrollMode.Value(f"ENROLL_MODE_{mode}"),
        )
        return str(self.identities.Enroll(_named(request), timeout=_TIMEOUT_S).revision)

    def delete(self, gallery: str, subject: str) -> str:
        """Delete a subject; returns the revision."""
        request = gallery_pb.DeleteSubjectRequest(gallery=gallery, subject_id=subject)
        return str(self.galleries.DeleteSubject(_named(request), timeout=_TIMEOUT_S).revision)

    def found(self, gallery: str, template: pb.Template, min_revision: str = "") -> list[str]:
        """Identify a template."""
        request = identity_pb.IdentifyRequest(
            gallery=gallery, probes=[pb.Sample(template=template)], min_revision=min_revision
        )
        answer = self.identities.Identify(request, timeout=_TIMEOUT_S)
        return [candidate.subject_id for candidate in answer.results[0].candidates]

    def has(self, gallery: str, subject: str) -> bool:
        """Say whether the record of a subject is there."""
        request = gallery_pb.GetSubjectRequest(gallery=gallery, subject_id=subject)
        try:
            return bool(self.galleries.GetSubject(request, timeout=_TIMEOUT_S).subject.encounters)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.NOT_FOUND  # noqa: PT017  # anything else is a fault
            return False


@dataclass
class Servers:
    """A leader and a follower on a bucket of their own."""

    start: Callable[[str], ServerProcess]
    leader: Site
    follower: Site


@pytest.fixture
def servers(
    tmp_path: Path,
    open_pack_root: Path,
    s3_server: Callable[[str], S3Server],
    milvus_uri: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Servers]:
    """Start two servers, each with a data folder of its own; those left are killed at the end."""
    monkeypatch.setenv("FACEGRID_COMPACT_AFTER", "4")
    monkeypatch.setenv("FACEGRID_STORE", f"{s3_server('minio').url}/servers{next(_numbers)}")
    monkeypatch.setenv("FACEGRID_MILVUS", milvus_uri)
    with ExitStack() as stack:

        def start(name: str) -> ServerProcess:
            server = ServerProcess(tmp_path / name, open_pack_root)
            stack.callback(lambda: server.process.poll() is None and server.end(9))
            server.wait()
            return server

        built = Servers(start, Site(start("a").address), Site(start("b").address))
        while _outcome(partial(built.follower.delete, "none", "none")) == "UNAVAILABLE":
            time.sleep(0.05)
        yield built


class Faces:
    """Templates of different people."""

    def __init__(self, version: str) -> None:
        """Take the version of them all."""
        self._version, self._random = version, np.random.default_rng(7)

    def one(self) -> pb.Template:
        """Return the template of somebody new."""
        vector: NDArray[np.float32] = self._random.standard_normal(_DIMENSION).astype("<f4")
        return pb.Template(template_version=self._version, vector=(vector / np.linalg.norm(vector)).tobytes())


def test_what_one_acknowledged_the_others_see(servers: Servers) -> None:
    """Both servers take every call; what either changed is seen on the other, at once where that is asked."""
    faces = Faces(servers.follower.create("g"))
    for one, other in ((servers.leader, servers.follower), (servers.follower, servers.leader)):
        ann = faces.one()
        revision = one.enrol("g", "ann", ann)
        assert other.found("g", ann, revision) == one.found("g", ann, revision) == ["ann"]
        assert other.has("g", "ann")
        revision = one.delete("g", "ann")
        assert not other.has("g", "ann")
        assert other.found("g", ann, revision) == one.found("g", ann, revision) == []
    eve = faces.one()
    servers.leader.enrol("g", "eve", eve)
    _seen_soon(lambda: servers.follower.found("g", eve) == ["eve"])
    servers.leader.delete("g", "eve")
    _seen_soon(lambda: servers.follower.found("g", eve) == [])


def test_galleries_come_and_go_on_every_server(servers: Servers) -> None:
    """A gallery can be searched everywhere once it is made, and not under its name once it is deleted."""
    for _ in range(2):
        face = Faces(servers.leader.create("g")).one()
        assert servers.follower.found("g", face) == []
        servers.leader.enrol("g", "ann", face)
        servers.follower.galleries.DeleteGallery(
            _named(gallery_pb.DeleteGalleryRequest(name="g")), timeout=_TIMEOUT_S
        )
        _seen_soon(partial(_is_gone, servers.follower, face))


def test_of_two_that_make_the_same_at_once_one_does(servers: Servers) -> None:
    """There is one gallery and one subject of each name, whoever asked whom for it."""
    sites = [servers.leader, servers.follower] * 2
    with ThreadPoolExecutor(4) as pool:
        for number in range(5):
            gallery = f"g{number}"
            made = list(pool.map(_outcome, [partial(site.create, gallery) for site in sites]))
            assert sorted(made) == ["ALREADY_EXISTS"] * 3 + ["OK"]
            request = gallery_pb.GetGalleryRequest(name=gallery)
            face = Faces(servers.follower.galleries.GetGallery(request).gallery.template_version).one()
            made = list(pool.map(_outcome, [partial(site.enrol, gallery, "ann", face) for site in sites]))
            assert sorted(made) == ["ALREADY_EXISTS"] * 3 + ["OK"]
            assert servers.leader.found(gallery, face) == ["ann"]


def test_a_replaced_subject_is_never_missing(servers: Servers) -> None:
    """While its encounters are replaced and compacted, the other server finds it, and its record."""
    faces = Faces(servers.leader.create("g"))
    ann, others = faces.one(), [faces.one() for _ in range(8)]
    revision = servers.leader.enrol("g", "ann", ann)
    for number, face in enumerate(others):
        revision = servers.leader.enrol("g", f"other-{number}", face)
    assert servers.follower.found("g", ann, revision) == ["ann"]
    with ThreadPoolExecutor(2) as pool:
        replacing = pool.submit(lambda: [servers.leader.enrol("g", "ann", ann, "REPLACE") for _ in range(60)])
        looks = 0
        while not replacing.done():
            assert servers.follower.found("g", ann) == ["ann"]
            assert servers.follower.has("g", "ann")
            assert all(servers.follower.has("g", f"other-{number}") for number in (looks % 8, 7))
            looks += 1
        replacing.result()
    request = gallery_pb.ListSubjectsRequest(gallery="g")
    assert len(servers.follower.galleries.ListSubjects(request).subjects) == 9
    assert looks > 20


def _named(request: object) -> object:
    request.context.request_id = uuid4().hex  # type: ignore[attr-defined]  # every mutation has a context
    return request


def _is_gone(site: Site, face: pb.Template) -> bool:
    return _outcome(partial(site.found, "g", face)) == "NOT_FOUND"


def _outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def _seen_soon(condition: Callable[[], bool]) -> None:
    """Check that a condition holds at the end of the second in which others learn of a change."""
    deadline = time.monotonic() + _SEEN_WITHIN_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()
