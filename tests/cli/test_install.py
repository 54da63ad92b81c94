"""`facegrid models install` as a user runs it."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from facegrid.cli.main import app
from releases import GOOD, MODELS, ReleaseServer, stalled


def copy_as_pack(root: Path, name: str, folder: Path, **_: object) -> Path:
    """Make a pack by copying, whatever the files are."""
    return shutil.copytree(folder, root / name)


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder of packs, which takes any models."""
    monkeypatch.setattr("facegrid.serving.packs.add_pack", copy_as_pack)
    monkeypatch.setenv("FACEGRID_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def _install(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["models", "install", "buffalo_sc", *map(str, arguments)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def test_install_says_what_it_pinned(models: Path, server: ReleaseServer) -> None:
    """The first run installs, the second finds the pack; both name folder and sha256."""
    first = _install("--accept-licence", "--url", server.url)
    assert f"pack buffalo_sc is in {models / 'buffalo_sc'}; its archive is pinned to sha256 " in first.stdout
    assert "is already in" in _install("--accept-licence", "--url", server.url).stdout


def test_the_progress_goes_to_standard_error(server: ReleaseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal shows bytes, rate and remaining time; standard output has the result alone."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = _install("--accept-licence", "--url", server.url)
    assert "832.2/832.2 kB" in result.stderr
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 1, "--accept-licence"),
        (("--accept-licence", "--file", "none.zip"), 1, "none.zip"),
        (("--accept-licence", "--file", "a.zip", "--url", "http://127.0.0.1:1"), 2, "exclude each other"),
    ],
)
def test_refusals(models: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    """What is missing or wrong is a sentence, and no pack appears."""
    assert words in _install(*arguments, code=code).stderr
    assert not (models / "buffalo_sc").exists()


def test_ctrl_c_and_again(models: Path, server: ReleaseServer) -> None:
    """Ctrl-C ends with 130 and says how to go on; the next run fetches the rest alone."""
    server.script = [stalled]
    command = [sys.executable, "-m", "facegrid.cli", "models", "install", "buffalo_sc", "--accept-licence"]
    process = subprocess.Popen([*command, "--url", server.url], stderr=subprocess.PIPE, text=True)
    archive = models / ".buffalo_sc.download" / "archive"
    while not (archive.exists() and archive.stat().st_size):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "stopped; run the same command again to go on\n")
    fetched = archive.stat().st_size
    _install("--accept-licence", "--url", server.url)
    assert server.asked[1]["Range"] == f"bytes={fetched}-"
    assert {file.name: file.read_bytes() for file in (models / "buffalo_sc").iterdir()} == MODELS
    assert 0 < fetched < len(GOOD)
