"""The open pack, built once for all tests, and photographs that installed packages carry."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import skimage.data
import structlog

from facegrid.vision.convert.open_pack import build_open_pack
from releases import GOOD, ReleaseServer, running


@pytest.fixture(autouse=True)
def _default_log() -> Iterator[None]:
    """Undo what a command did to the process's log."""
    yield
    structlog.reset_defaults()


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
