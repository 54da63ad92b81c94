"""The open pack, built once for the tests, and photographs that installed packages carry."""

import shutil
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut as skimage_astronaut

from facegrid.vision.decode import PhotographLimits
from facegrid.vision.engine import VisionEngine
from facegrid.vision.packs import LoadedPack, PackFolder

_INSIGHTFACE = Path(__file__).parents[2] / "loadtests" / "insightface.toml"


@pytest.fixture(scope="session")
def open_pack(open_pack_root: Path) -> LoadedPack:
    """Return the open pack in memory."""
    return PackFolder(open_pack_root).load("open")


@pytest.fixture(scope="session")
def insightface_pack(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> LoadedPack:
    """Return SCRFD-2.5GF and MobileFaceNet, as the benchmarks' manifest has them."""
    root = tmp_path_factory.mktemp("packs")
    (root / "insightface").mkdir()
    shutil.copy(_INSIGHTFACE, root / "insightface" / "manifest.toml")
    for file in PackFolder(root).manifest("insightface").files:
        shutil.copy(assets / "models" / file.path, root / "insightface")
    return PackFolder(root).load("insightface")


@pytest.fixture(scope="session")
def engine(open_pack_root: Path) -> Iterator[VisionEngine]:
    """Yield the vision engine on the open pack."""
    engine = VisionEngine(PackFolder(open_pack_root), PhotographLimits(), workers=2)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def astronaut() -> NDArray[np.uint8]:
    """Return a portrait of 512×512 pixels, RGB, with one face."""
    return skimage_astronaut()


@pytest.fixture
def manifest_data() -> dict[str, Any]:
    """Return the open pack's manifest as TOML gives it; a test may change its copy."""
    text = resources.files("facegrid.vision.convert").joinpath("open_pack.toml").read_text("utf-8")
    return tomllib.loads(text)
