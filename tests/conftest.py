"""The open pack, built once for all tests, and photographs that installed packages carry."""

import importlib.util
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import skimage.data
import structlog

from certificates import Authority, Issuer
from facegrid.storage.objects.files import LocalObjectStore
from facegrid.storage.objects.store import ObjectStore
from facegrid.vision.convert.open_pack import build_open_pack
from milvus_server import milvus_programs, running_milvus
from releases import GOOD, ReleaseServer, running
from s3_servers import S3Server, folder_in_memory, make_server, running_s3
from stores import MakeStore

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _default_log() -> Iterator[None]:
    """Undo what a command did to the process's log."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the certificate authority that everyone trusts."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """Return the issuer of tokens."""
    return Issuer(tmp_path_factory.mktemp("issuer"))


@pytest.fixture(scope="session")
def open_pack_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of packs that holds the open pack."""
    root = tmp_path_factory.mktemp("packs")
    build_open_pack(root)
    return root


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ReleaseServer]:
    """Yield a server of a good archive, which is reached past any proxy."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running(ReleaseServer(GOOD)) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Callable[[str], S3Server]]:
    """Yield a function that returns the running server of a kind, one for all tests."""
    with ExitStack() as stack:
        servers: dict[str, S3Server] = {}

        def get(kind: str) -> S3Server:
            if kind not in servers:
                server = make_server(kind, stack.enter_context(folder_in_memory()))
                servers[kind] = stack.enter_context(running_s3(server))
            return servers[kind]

        yield get


@pytest.fixture
def make_store(
    tmp_path_factory: pytest.TempPathFactory, s3_server: Callable[[str], S3Server]
) -> Iterator[MakeStore]:
    """Yield a function that makes an empty store of a kind: a new folder, or a new prefix on a server."""
    with ExitStack() as stack:

        def make(kind: str) -> ObjectStore:
            folder = tmp_path_factory.mktemp("store")
            if kind == "folder":
                return LocalObjectStore(folder)
            store = s3_server(kind).store(f"{folder.name}-{next(_numbers)}")
            stack.callback(store.close)
            return store

        yield make


@pytest.fixture(scope="session")
def milvus_uri() -> Iterator[str]:
    """Return the URI of a Milvus server: the one that FACEGRID_TEST_MILVUS_URI names, or else our own."""
    uri = os.environ.get("FACEGRID_TEST_MILVUS_URI")
    if uri:
        yield uri
    else:
        with running_milvus(milvus_programs()) as server:
            yield server.uri


@pytest.fixture(scope="session")
def portrait() -> bytes:
    """Return a PNG of 512×512 pixels that shows one person (NASA, public domain)."""
    return (Path(skimage.data.__file__).parent / "astronaut.png").read_bytes()


@pytest.fixture(scope="session")
def six_people() -> bytes:
    """Return a JPEG of 1280×886 pixels that shows six people."""
    return (_insightface_images() / "t1.jpg").read_bytes()


@pytest.fixture(scope="session")
def other_portrait() -> bytes:
    """Return a PNG of 112×112 pixels that shows another person."""
    return (_insightface_images() / "Tom_Hanks_54745.png").read_bytes()


@pytest.fixture(scope="session")
def assets() -> Path:
    """Return the folder with faces/ and models/ that nobody may redistribute."""
    folder = os.environ.get("FACEGRID_TEST_ASSETS")
    if not folder:
        pytest.skip("FACEGRID_TEST_ASSETS is not set; point it at a folder with faces/ and models/")
    return Path(folder)


def _insightface_images() -> Path:
    package = importlib.util.find_spec("insightface")
    if package is None or package.origin is None:
        pytest.skip("insightface is not installed; it carries these photographs")
    return Path(package.origin).parent / "data" / "images"
