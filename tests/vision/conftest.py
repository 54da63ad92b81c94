"""The open pack, built once for the tests, and photographs that installed packages carry."""

import importlib.util
import os
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut as skimage_astronaut

from facegrid.vision.convert.open_pack import build_open_pack
from facegrid.vision.decode import PhotographLimits
from facegrid.vision.engine import VisionEngine
from facegrid.vision.packs import LoadedPack, PackFolder


@pytest.fixture(scope="session")
def open_pack_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packs that holds the open pack."""
    root = tmp_path_factory.mktemp("packs")
    build_open_pack(root)
    return root


@pytest.fixture(scope="session")
def open_pack(open_pack_root: Path) -> LoadedPack:
    """The open pack in memory."""
    return PackFolder(open_pack_root).load("open")


@pytest.fixture(scope="session")
def engine(open_pack_root: Path) -> Iterator[VisionEngine]:
    """The vision engine on the open pack."""
    engine = VisionEngine(PackFolder(open_pack_root), PhotographLimits(), workers=2)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def astronaut() -> NDArray[np.uint8]:
    """A portrait of 512×512 pixels, RGB, with one face."""
    return skimage_astronaut()


@pytest.fixture(scope="session")
def six_people() -> bytes:
    """A JPEG of 1280×886 pixels that shows six people."""
    package = importlib.util.find_spec("insightface")
    if package is None or package.origin is None:
        pytest.skip("insightface is not installed; its t1.jpg is needed")
    return (Path(package.origin).parent / "data" / "images" / "t1.jpg").read_bytes()


@pytest.fixture
def manifest_data() -> dict[str, Any]:
    """The open pack's manifest as TOML gives it; a test may change its copy."""
    text = resources.files("facegrid.vision.convert").joinpath("open_pack.toml").read_text("utf-8")
    return tomllib.loads(text)


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder with faces/ and models/ that nobody may redistribute."""
    folder = os.environ.get("FACEGRID_TEST_ASSETS")
    if not folder:
        pytest.skip("FACEGRID_TEST_ASSETS is not set; point it at a folder with faces/ and models/")
    return Path(folder)
