"""Packs that load and fail later, and a crowd, for servers whose models run elsewhere."""

import hashlib
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from seeded_models import embedder_of_black


@pytest.fixture(scope="session")
def crowd() -> bytes:
    """Return a JPEG of 1536×1024 pixels that shows six faces."""
    picture = BytesIO()
    Image.fromarray(np.tile(skimage.data.astronaut(), (2, 3, 1))).save(picture, "JPEG", quality=90)
    return picture.getvalue()


@pytest.fixture(scope="session")
def spoilt_packs(open_pack_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of "open", "faulty", whose embedder fails at work, and "torn", which has none."""
    root = tmp_path_factory.mktemp("spoilt")
    for name in ("open", "faulty", "torn"):
        shutil.copytree(open_pack_root / "open", root / name)
        manifest = root / name / "manifest.toml"
        manifest.write_text(manifest.read_text("utf-8").replace('name = "open"', f'name = "{name}"'), "utf-8")
    (root / "torn" / "dlib_resnet.onnx").unlink()
    weights = root / "faulty" / "dlib_resnet.onnx"
    before = hashlib.sha256(weights.read_bytes()).hexdigest()
    after = hashlib.sha256(embedder_of_black(weights, side=150, dimension=128).read_bytes()).hexdigest()
    manifest = root / "faulty" / "manifest.toml"
    manifest.write_text(manifest.read_text("utf-8").replace(before, after), "utf-8")
    return root
