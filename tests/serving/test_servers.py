"""Several servers on one bucket and one Milvus server: one of them writes, all of them answer."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from facegrid.v1 import gallery_service_pb2 as gallery_pb
from facegrid.v1 import types_pb2 as pb
from s3_servers import S3Server
from server_process import ServerProcess
from sites import Faces, Site, outcome
from writer import GALLERY, Writer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

_numbers = count()
_SEEN_WITHIN_S = 1.0
_LONGEST_S = 60.0


class Servers:
    """A leader and a follower on a bucket of their own, for which more can be started."""

    def __init__(self, start: Callable[[str], ServerProcess]) -> None:
        """Start both."""
        self.start = start
        self.processes = [start("a"), start("b")]
        self.leader, self.follower = (Site(process.address) for process in self.processes)
        self.follower.wait_for_leader()


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
            stack.callback(lambda: server.process.poll() is None and server.end(signal.SIGKILL))
            server.wait()
            return server

        yield Servers(start)


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
        servers.follower.drop("g")
        _seen_soon(partial(_is_gone, servers.follower, face))


def test_of_two_that_make_the_same_at_once_one_does(servers: Servers) -> None:
    """There is one gallery and one subject of each name, whoever asked whom for it."""
    sites = [servers.leader, servers.follower] * 2
    with ThreadPoolExecutor(4) as pool:
        for number in range(5):
            gallery = f"g{number}"
            made = list(pool.map(outcome, [partial(site.create, gallery) for site in sites]))
            assert sorted(made) == ["ALREADY_EXISTS"] * 3 + ["OK"]
            request = gallery_pb.GetGalleryRequest(name=gallery)
            face = Faces(servers.follower.galleries.GetGallery(request).gallery.template_version).one()
            made = list(pool.map(outcome, [partial(site.enrol, gallery, "ann", face) for site in sites]))
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
        replacing = pool.submit(lambda: [servers.leader.enrol("g", "ann", ann, "REPLACE") for _ in range(30)])
        looks = 0
        while not replacing.done():
            assert servers.follower.found("g", ann) == ["ann"]
            assert servers.follower.has("g", "ann")
            assert all(servers.follower.has("g", f"other-{number}") for number in (looks % 8, 7))
            looks += 1
        replacing.result()
    request = gallery_pb.ListSubjectsRequest(gallery="g")
    assert len(servers.follower.galleries.ListSubjects(request).subjects) == 9
    assert looks > 5


def test_when_the_leader_is_killed_the_other_takes_its_place(servers: Servers) -> None:
    """Nothing that either acknowledged is lost or half there, and reads go on; there and back."""
    version = servers.leader.create(GALLERY)
    eve = Faces(version).one()
    revision = servers.leader.enrol(GALLERY, "eve", eve)
    assert servers.follower.found(GALLERY, eve, revision) == ["eve"]
    writers = [Writer(f"w{number}", 1, version) for number in range(4)]
    for name in "ab":
        leader, follower = servers.processes
        with ThreadPoolExecutor(5) as pool, _looking(pool, servers.follower, eve):
            sites = [servers.leader, servers.follower] * 2
            working = [
                pool.submit(writer.work, site.channel) for writer, site in zip(writers, sites, strict=True)
            ]
            time.sleep(3)
            leader.end(signal.SIGKILL)
            for one in working:
                one.result()
            assert servers.follower.wait_for_leader() < 60
            for writer in writers:
                writer.settle(servers.follower.channel)
        servers.processes = [follower, servers.start(name)]
        servers.leader, servers.follower = (Site(process.address) for process in servers.processes)
        servers.follower.wait_for_leader()
        for writer in writers:
            writer.settle(servers.follower.channel)
    assert all(writer.acknowledged > 2 for writer in writers)


def test_of_three_servers_one_of_two_takes_the_leaders_place(servers: Servers) -> None:
    """Each of them takes every call, and shows what any of them acknowledged, before and after."""
    servers.processes.append(servers.start("c"))
    sites = [Site(process.address) for process in servers.processes]
    version = sites[0].create(GALLERY)
    faces = Faces(version)
    people = {f"person-{number}": faces.one() for number in range(3)}
    for site, (name, face) in zip(sites, people.items(), strict=True):
        site.enrol(GALLERY, name, face)
        _all_show(sites, name, face)
        gone = faces.one()
        site.enrol(GALLERY, "gone", gone)
        _all_show(sites, "gone", gone)
        site.delete(GALLERY, "gone")
        _all_show(sites, "", gone)
    writers = [Writer(f"w{number}", 1, version) for number in range(3)]
    with ThreadPoolExecutor(3) as pool:
        working = [
            pool.submit(writer.work, site.channel) for writer, site in zip(writers, sites, strict=True)
        ]
        while not all(writer.acknowledged > 2 for writer in writers):
            assert not any(one.done() for one in working)
            time.sleep(0.05)
        servers.processes[0].end(signal.SIGKILL)
        for one in working:
            one.result()
    left = sites[1:]
    for site in left:
        site.wait_for_leader()
        for writer in writers:
            writer.settle(site.channel)
    for site in left:
        face = faces.one()
        site.enrol(GALLERY, "late", face, "REPLACE")
        _all_show(left, "late", face)
    for name, face in people.items():
        _all_show(left, name, face)
    for process in servers.processes[1:]:
        process.end(signal.SIGKILL)
    assert sorted('"leading"' in process.log for process in servers.processes[1:]) == [False, True]


def _all_show(sites: list[Site], name: str, face: pb.Template) -> None:
    """Wait until all servers find somebody by a face, or with an empty name nobody, and have its record."""
    deadline = time.monotonic() + _LONGEST_S
    for site in sites:
        while site.found(GALLERY, face) != [name] * bool(name) or (name and not site.has(GALLERY, name)):
            assert time.monotonic() < deadline
            time.sleep(0.02)


@contextmanager
def _looking(pool: ThreadPoolExecutor, site: Site, face: pb.Template) -> Iterator[None]:
    """Search a server for somebody who is always there, without a pause."""
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            assert site.found(GALLERY, face) == ["eve"]

    looking = pool.submit(look)
    try:
        yield
    finally:
        done.set()
    looking.result()


def _is_gone(site: Site, face: pb.Template) -> bool:
    return outcome(partial(site.found, "g", face)) == "NOT_FOUND"


def _seen_soon(condition: Callable[[], bool]) -> None:
    """Check that a condition holds at the end of the second in which others learn of a change."""
    deadline = time.monotonic() + _SEEN_WITHIN_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()
