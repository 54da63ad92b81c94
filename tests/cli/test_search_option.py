"""`facegrid gallery create --search`."""

import json
from collections.abc import Callable

from typer.testing import Result


def test_a_gallery_is_made_and_shown_with_its_search(run: Callable[..., Result]) -> None:
    """Approximate galleries need a Milvus server, which is said; exact ones do not."""
    assert "FACEGRID_MILVUS" in run("gallery", "create", "g", "--search", "approximate", code=1).stderr
    run("gallery", "create", "g", "--search", "exact")
    assert json.loads(run("gallery", "show", "g", "--json").stdout)["search"] == "exact"
