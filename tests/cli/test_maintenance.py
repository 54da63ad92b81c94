"""`facegrid gallery audit` and `facegrid gallery tune`."""

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

Run = Callable[..., Result]


def test_an_audit_is_a_table_or_an_object(run: Run, people: Path) -> None:
    """Both say how many mates were missed, with the interval, and how the gallery is searched."""
    run("gallery", "create", "g")
    run("enroll", "--gallery", "g", people)
    shown = run("gallery", "audit", "g", "--sample", 20).stdout
    assert "0.000 % (0.000 to 16.843)" in " ".join(shown.split())
    assert "exact, 2 subjects, 2 templates" in shown
    found = json.loads(run("gallery", "audit", "g", "--sample", 20, "--json").stdout)
    assert (found["gallery"], found["subjects"], found["method"]) == ("g", 2, "SEARCH_METHOD_EXACT")
    assert found["one_template"]["missed"] == 0
    assert found["one_template"]["recall_at_1"]["value"] == 1
    assert found["several_templates"]["probes"] == 0


def test_what_cannot_be_tuned_is_said(run: Run) -> None:
    """An exact gallery misses nothing."""
    run("gallery", "create", "g")
    tuned = run("gallery", "tune", "g", "--max-added-miss", 0.001, code=1)
    assert "is searched exactly and misses nothing" in tuned.stderr
