"""Servers that end with the test, packs that load and fail later, and a crowd."""

import hashlib
import shutil
import signal
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from seeded import write_table
from seeded_models import embedder_of_black
from server_process import ServerProcess


@pytest.fixture(scope="session")
def crowd() -> bytes:
    """Return a JPEG of 768×512 pixels that shows six faces."""
    picture, head = BytesIO(), skimage.data.astronaut()[:256, 96:352]
    Image.fromarray(np.tile(head, (2, 3, 1))).save(picture, "JPEG", quality=90)
    return picture.getvalue()


@pytest.fixture(scope="session")
def many_packs(open_pack_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of four packs that are the open one, or were.

    "aging" reads ages as well, at random; "faulty" has an embedder that fails at work, "torn" has none.
    """
    root = tmp_path_factory.mktemp("many")
    for name in ("open", "aging", "faulty", "torn"):
        shutil.copytree(open_pack_root / "open", root / name)
        _rewrite(root / name, 'name = "open"', f'name = "{name}"')
    _add_ages(root / "aging")
    weights = root / "faulty" / "dlib_resnet.onnx"
    before = _digest(weights)
    _rewrite(root / "faulty", before, _digest(embedder_of_black(weights, side=150, dimension=128)))
    (root / "torn" / "dlib_resnet.onnx").unlink()
    return root


def _add_ages(pack: Path) -> None:
    model = write_table(pack / "ages.onnx", 96, 3)
    manifest = pack / "manifest.toml"
    manifest.write_text(
        manifest.read_text("utf-8")
        + '\n[[attributes]]\nkind = "genderage"\nside = 96\nmean = 0.0\nstd = 1.0\n[attributes.model]\n'
        + f'path = "{model.name}"\nsha256 = "{_digest(model)}"\nlicence = "none"\nsource = "a seed"\n',
        "utf-8",
    )


def _rewrite(pack: Path, before: str, after: str) -> None:
    manifest = pack / "manifest.toml"
    manifest.write_text(manifest.read_text("utf-8").replace(before, after), "utf-8")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def start(tmp_path: Path, open_pack_root: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Yield a function that starts servers on one data folder; those left are killed at the end."""
    started: list[ServerProcess] = []

    def start_one(*flags: str, data: str = "data") -> ServerProcess:
        started.append(ServerProcess(tmp_path / data, open_pack_root, *flags))
        started[-1].wait()
        return started[-1]

    yield start_one
    for server in started:
        if server.process.poll() is None:
            server.end(signal.SIGKILL)
