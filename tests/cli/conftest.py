"""The command line on the in-process runtime, and photographs that packages carry."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from facegrid.cli.main import app

Run = Callable[..., Result]


@pytest.fixture
def models(open_pack_root: Path) -> Path:
    """Return the folder of packs that commands use."""
    return open_pack_root


@pytest.fixture
def run(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command on a data folder of the test's own."""
    monkeypatch.setenv("FACEGRID_MODELS", str(models))
    monkeypatch.setenv("FACEGRID_DATA", str(tmp_path / "data"))

    def run_one(*arguments: object, code: int | None = 0) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert code is None or result.exit_code == code, result.output
        return result

    return run_one


@pytest.fixture
def people(tmp_path: Path, portrait: bytes, other_portrait: bytes) -> Path:
    """Return a folder of two subjects with a photograph each."""
    for subject, photograph in (("eileen", portrait), ("tom", other_portrait)):
        (tmp_path / "people" / subject).mkdir(parents=True)
        (tmp_path / "people" / subject / "one.png").write_bytes(photograph)
    return tmp_path / "people"
