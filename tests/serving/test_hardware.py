"""What a server does with the machine it starts on, before it says that it serves."""

import shutil
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from facegrid.client import Client
from facegrid.domain.errors import ConfigurationError
from facegrid.serving.local import LocalRuntime
from facegrid.settings import Settings
from facegrid.vision.device import choose_device

pytestmark = pytest.mark.integration


def settings(folder: Path, models: Path, **more: str) -> Settings:
    """Return settings on a data folder of the test's own."""
    return Settings(data=folder / "data", models=models, **more)


def test_the_log_says_what_models_run_on(tmp_path: Path, open_pack_root: Path) -> None:
    """`auto` takes what there is, and the log names it."""
    structlog.reset_defaults()
    with capture_logs() as logs:
        runtime = LocalRuntime(settings(tmp_path, open_pack_root))
        runtime.start()
        runtime.stop()
    (entry,) = [entry for entry in logs if entry["event"] == "models run on"]
    assert entry["device"] == choose_device("auto").kind
    assert entry["cores"] >= 1


def test_cuda_that_is_not_there(tmp_path: Path, open_pack_root: Path) -> None:
    """A server that is to use a GPU and has none does not start, and says what to install."""
    if choose_device("auto").kind == "cuda":
        pytest.skip("this machine has CUDA")
    with pytest.raises(ConfigurationError, match=r"device is cuda.*pip install"):
        LocalRuntime(settings(tmp_path, open_pack_root, device="cuda")).start()


@pytest.fixture
def models(tmp_path: Path, open_pack_root: Path) -> Path:
    """Return a folder with the open pack and another one, the same under another name."""
    shutil.copytree(open_pack_root / "open", tmp_path / "models" / "open")
    other = shutil.copytree(open_pack_root / "open", tmp_path / "models" / "other")
    text = (other / "manifest.toml").read_text("utf-8")
    (other / "manifest.toml").write_text(text.replace('name = "open"', 'name = "other"', 1), "utf-8")
    return tmp_path / "models"


def test_packs_of_galleries_are_loaded_before_it_serves(tmp_path: Path, models: Path) -> None:
    """A gallery's pack whose file went bad keeps the server from starting; no request meets it first.

    A pack that is no longer installed does not: the gallery's calls say so.
    """
    runtime = LocalRuntime(settings(tmp_path, models))
    with Client(runtime.start()) as client:
        client.create_gallery("g", pack="other")
    runtime.stop()
    (models / "other" / "rnet.onnx").write_bytes(b"not a model")
    with pytest.raises(ConfigurationError, match=r"^other/rnet\.onnx has sha256"):
        LocalRuntime(settings(tmp_path, models)).start()
    shutil.rmtree(models / "other")
    runtime = LocalRuntime(settings(tmp_path, models))
    runtime.start()
    runtime.stop()
