"""A server that goes, stalls, loses answers or is full: errors that say so, nothing torn, and recovery."""

import asyncio
import errno
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sized
from contextlib import closing, suppress
from pathlib import Path

import pytest

from facegrid.domain.errors import StorageFull, StoreUnavailable
from facegrid.domain.galleries import Gallery
from facegrid.storage.objects import s3_client
from facegrid.storage.objects.s3 import S3ObjectStore
from facegrid.storage.records.records import StoredRecords
from s3_servers import S3Server, folder_in_memory, make_server, on_small_disk, running_s3
from storage.making import enrol, load, make_call, make_encounter, make_gallery
from stores import S3_KINDS
from tcp_proxy import TcpProxy, proxied

pytestmark = pytest.mark.integration


@pytest.fixture(params=S3_KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    """Run a server of each kind that the test may kill."""
    with folder_in_memory() as folder, running_s3(make_server(request.param, folder)) as running:
        yield running


@pytest.fixture
def proxy(server: S3Server) -> Iterator[TcpProxy]:
    """Run a proxy of the server."""
    with proxied(server.port) as running:
        yield running


@pytest.fixture
def store(server: S3Server, proxy: TcpProxy) -> Iterator[S3ObjectStore]:
    """Open a store through the proxy, which has asked for nothing but its bucket so far."""
    with closing(server.store("through", proxy.port)) as opened:
        yield opened


def once(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Return what changes the first chunk alone."""
    changes = iter([change])

    def change_once(data: bytes) -> bytes:
        return next(changes, bytes)(data)

    return change_once


def test_writes_go_on_when_a_killed_server_is_back(server: S3Server) -> None:
    """What was acknowledged is there, each object is whole, and the client needs no restart."""
    acknowledged: dict[str, bytes] = {}
    failures: list[OSError] = []
    stopping = threading.Event()
    store = server.store("killed")

    def write(number: int) -> None:
        for count in range(100_000):
            if stopping.is_set():
                return
            key, data = f"{number}/{count:06}", bytes([number, count % 256]) * 6000
            try:
                store.put(key, data)
            except OSError as failure:
                failures.append(failure)
            else:
                acknowledged[key] = data

    writers = [threading.Thread(target=write, args=[number]) for number in range(4)]
    for writer in writers:
        writer.start()
    for _ in range(3):
        wait_for_more(acknowledged, 40)
        server.kill()
        wait_for_more(failures, 1)
        server.start()
    wait_for_more(acknowledged, 40)
    stopping.set()
    for writer in writers:
        writer.join()
    for key in store.keys(""):
        assert store.get(key) == acknowledged.pop(key, None) or key not in acknowledged
    assert not acknowledged
    store.close()


def wait_for_more(things: Sized, number: int) -> None:
    """Wait until there are so many more of them."""
    deadline, enough = time.monotonic() + 60, len(things) + number
    while len(things) < enough:
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def test_records_are_unavailable_while_the_server_is_gone(server: S3Server) -> None:
    """The same call succeeds when it is back, and an encounter that was broken off is not half there."""
    records, gallery = StoredRecords(server.store("gone"), workers=4), make_gallery()
    await records.create_gallery(gallery, make_call("CreateGallery", "r1"))
    server.kill()
    with pytest.raises(StoreUnavailable):
        await records.check()
    with pytest.raises(StoreUnavailable):
        await records.commit(gallery, make_encounter(1), [b"photograph", None])
    server.start()
    await records.check()
    assert await load(records, gallery) == []
    await enrol(records, gallery, make_encounter(1))
    assert [one.revision for one in await load(records, gallery)] == [1]
    records.close()


def test_a_server_that_stalls_is_given_up_and_comes_back(
    proxy: TcpProxy, server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is open and silent blocks nobody for ever."""
    monkeypatch.setattr(s3_client, "_READ_S", 0.5)
    with closing(server.store("stalled", proxy.port)) as store:
        store.put("a", b"1")
        proxy.stall()
        for use in (
            store.get,
            store.delete,
            lambda key: store.put(key, b"2"),
            lambda key: list(store.keys(key)),
        ):
            with pytest.raises(OSError, match="does not answer") as caught:
                use("a")
            assert caught.value.errno == errno.ETIMEDOUT
        proxy.flow()
        store.put("b", b"3")
        assert store.get("b") == b"3"


def test_a_conditional_write_whose_answer_is_lost_knows_its_own(
    store: S3ObjectStore, proxy: TcpProxy
) -> None:
    """Where its answer is lost it is sent again and refused, since the object is there: that very one."""
    for key, expected in (("new", True), ("old", False)):
        if not expected:
            store.put(key, b"another")
        proxy.answer = once(lambda _: b"")
        assert store.put_if_absent(key, b"mine") is expected


def test_a_short_answer_is_asked_for_again(store: S3ObjectStore, proxy: TcpProxy) -> None:
    """An object of half its length is never returned."""
    data = bytes(range(256)) * 4000
    store.put("a", data)
    proxy.answer = once(lambda chunk: chunk[:2000])
    assert store.get("a") == data
    proxy.answer = once(lambda chunk: chunk[:2000])
    assert store.get_range("a", 1000, 500_000) == data[1000:501_000]
    proxy.answer = lambda chunk: chunk[:2000] if chunk.startswith(b"HTTP") else b""
    with pytest.raises(OSError, match="broke"):
        store.get("a")


def test_a_torn_answer_is_asked_for_again(store: S3ObjectStore, proxy: TcpProxy) -> None:
    """One of the right length and with other bytes is noticed by its digest."""
    store.put("a", b"x" * 1000)
    proxy.answer = once(lambda chunk: chunk.replace(b"x" * 500, b"y" * 500))
    assert store.get("a") == b"x" * 1000


def test_a_strange_answer_is_an_outage(store: S3ObjectStore, proxy: TcpProxy) -> None:
    """What a misled proxy says in HTML is not taken for the store's word."""
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html>no<br>\n"
    proxy.answer = lambda _: page
    with pytest.raises(OSError, match="not that of an S3 server"):
        list(store.keys("a/"))


@pytest.mark.parametrize("kind", S3_KINDS)
async def test_a_full_server_says_so_and_keeps_what_it_has(kind: str, tmp_path: Path) -> None:
    """Room can be made by deleting, and then writes go on."""
    small = make_server(kind, tmp_path)
    small.command = on_small_disk(small.command, tmp_path / "data", "64m")
    with running_s3(small) as server, closing(server.store("full")) as store:
        records, gallery = StoredRecords(store, workers=4), make_gallery()
        await records.create_gallery(gallery, make_call("CreateGallery", "r1"))
        with pytest.raises(StorageFull):
            await fill_up(records, gallery)
        kept = await load(records, gallery)
        assert len(kept) > 5
        for one in kept[2:]:
            await records.erase(gallery, one.subject_id, [one.encounter_id])
        await asyncio.sleep(2)  # MinIO looks at its disk once a second
        await fill(records, gallery, subjects=1)
        assert len(await load(records, gallery)) == 3
        records.close()


async def fill_up(records: StoredRecords, gallery: Gallery) -> None:
    """Enrol until something else goes wrong than that MinIO breaks off the write that fills its disk."""
    while True:
        with suppress(StoreUnavailable):
            await fill(records, gallery)


async def fill(records: StoredRecords, gallery: Gallery, subjects: int = 200) -> None:
    """Enrol new subjects, each with a photograph of 1 MiB."""
    for _ in range(subjects):
        number = secrets.randbits(30)
        await records.commit(gallery, make_encounter(number, f"s{number}"), [bytes(2**20), None])
