"""`facegrid bulk export`, stopped and run again."""

import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import Result

from facegrid.client.bulk import BulkCalls
from facegrid.identity import bulk_export

Run = Callable[..., Result]


@pytest.fixture
def gallery(run: Run, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a gallery of two people with photographs and six with templates, in pages of one."""
    monkeypatch.setattr(bulk_export, "_PAGE", 1)
    monkeypatch.setattr(bulk_export, "_PAGE_WITH_PHOTOGRAPHS", 1)
    run("gallery", "create", "g")
    run("bulk", "enroll", "--gallery", "g", people)
    described = json.loads(run("gallery", "list", "--json").stdout)
    rows = np.eye(6, 128, dtype=np.float32)
    names, version = np.array([f"p{number}" for number in range(6)]), described["template_version"]
    np.savez(tmp_path / "t.npz", subject=names, template=rows, born=np.arange(6), template_version=version)
    run("bulk", "import", "--gallery", "g", tmp_path / "t.npz")
    return "g"


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that lets exports be stopped after some answers."""
    export = BulkCalls.export_templates

    def patch(answers: int) -> None:
        def stopped(*args: Any, **options: Any) -> Iterator[Any]:
            for number, answer in enumerate(export(*args, **options)):
                if number == answers:
                    raise KeyboardInterrupt
                yield answer

        monkeypatch.setattr(BulkCalls, "export_templates", stopped)

    return patch


def content(file: Path, photographs: Path) -> tuple[dict[str, Any], dict[Path, bytes]]:
    """Return all that an export wrote."""
    if file.suffix == ".npz":
        with np.load(file) as arrays:
            rows = {name: array.tolist() for name, array in arrays.items()}
    else:
        rows = pq.read_table(file).to_pydict()
    kept = {path.relative_to(photographs): path.read_bytes() for path in photographs.rglob("*.*")}
    return rows, kept


@pytest.mark.parametrize("kind", ["parquet", "npz"])
def test_a_stopped_export_goes_on(
    run: Run, gallery: str, tmp_path: Path, stop_after: Callable[[int], None], kind: str
) -> None:
    """The same command ends with what one run alone would have written, and another is refused until then."""

    def export(name: str, *options: object, gallery: str = gallery, code: int | None = 0) -> Result:
        out = tmp_path / f"{name}.{kind}"
        return run("bulk", "export", "--gallery", gallery, out, *options, code=code)

    def photographs(name: str) -> tuple[object, ...]:
        return "--photographs", tmp_path / f"{name}-photographs"

    export("whole", *photographs("whole"))
    stop_after(3)
    assert "run the same command again" in export("parts", *photographs("parts"), code=130).stderr
    run("gallery", "create", "h")
    for refused in (export("parts", code=1), export("parts", *photographs("parts"), gallery="h", code=1)):
        assert "is of an export of" in refused.stderr
    for answers in count(4):
        stop_after(answers)
        assert not (tmp_path / f"parts.{kind}").exists()
        if not (last := export("parts", *photographs("parts"), code=None)).exit_code:
            break
    assert answers > 4
    assert "exported 8 templates" in last.stdout
    parts, whole = (
        content(tmp_path / f"{name}.{kind}", tmp_path / f"{name}-photographs") for name in ("parts", "whole")
    )
    assert parts == whole
    assert len(parts[0]["subject"]) == 8
    assert len(parts[1]) == 2
    assert not list(tmp_path.rglob("*.partial"))
