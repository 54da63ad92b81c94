"""A migration on a server that is killed in the middle of it."""

import signal
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from facegrid.client import CallFailed, Client
from facegrid.v1 import types_pb2
from s3_servers import S3Server
from second_pack import add_second_pack
from server_process import ServerProcess

pytestmark = pytest.mark.integration


@pytest.fixture
def open_pack_root(open_pack_root: Path, tmp_path: Path) -> Path:
    """Return a folder of two packs, for the servers of this module."""
    return add_second_pack(open_pack_root, tmp_path / "packs")


@pytest.mark.parametrize("kind", ["folder", "minio", "versitygw"])
def test_a_migration_goes_on_after_kill_9(
    start: Callable[..., ServerProcess], portrait: bytes, s3_server: Callable[[str], S3Server], kind: str
) -> None:
    """The next server copies the rest by itself; kills change nothing of what was answered."""
    flags = [] if kind == "folder" else ["--store", f"{s3_server(kind).url}/moving"]
    server = start(*flags)
    photographs = {f"s{number}": _smaller(portrait, 400 + 8 * number) for number in range(8)}
    with Client(server.address) as client:
        client.create_gallery("g")
        for subject, photograph in photographs.items():
            client.enroll("g", [photograph], subject_id=subject)
        client.migrations.start("g", "other")
        client.enroll("g", [portrait], subject_id="late")
    server = _killed(server, start, flags)
    with Client(server.address) as client:
        client.delete_subject("g", "s0")
        *_, copied = client.migrations.watch("g")
        assert copied.state == types_pb2.MIGRATION_STATE_READY
        assert copied.left_behind == 0
        client.migrations.cut_over("g")
    server = _killed(server, start, flags)
    with Client(server.address) as client:
        client.enroll("g", [portrait], subject_id="later")
        assert client.get_gallery("g").pack == "other"
        assert _found(client, portrait) == {*photographs, "late", "later"} - {"s0"}
        assert client.verify("g", "s1", photographs["s1"]).score > 0.9999
        client.migrations.roll_back("g")
        assert _found(client, portrait) == {*photographs, "late", "later"} - {"s0"}
        client.migrations.cut_over("g")
        client.migrations.finish("g")
    server = _killed(server, start, flags)
    with Client(server.address) as client:
        assert _found(client, portrait) == {*photographs, "late", "later"} - {"s0"}
        with pytest.raises(CallFailed, match="not moving"):
            client.migrations.get("g")
        client.delete_gallery("g")


def _killed(server: ServerProcess, start: Callable[..., ServerProcess], flags: list[str]) -> ServerProcess:
    server.end(signal.SIGKILL)
    return start(*flags)


def _found(client: Client, photograph: bytes) -> set[str]:
    (result,) = client.identify("g", [photograph], top=20).results
    return {one.subject_id for one in result.candidates}


def _smaller(photograph: bytes, side: int) -> bytes:
    picture = BytesIO()
    with Image.open(BytesIO(photograph)) as opened:
        opened.convert("RGB").resize((side, side)).save(picture, "JPEG", quality=95)
    return picture.getvalue()
