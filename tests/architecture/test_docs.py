"""What is written of the API is what the API is."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from facegrid.domain import errors
from facegrid.domain.errors import FacegridError
from facegrid.gateway.status import status_code

_DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """Load the program that writes the references."""
    spec = importlib.util.spec_from_file_location("generate", _DOCS / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["api.md", "errors.md", "metrics.md"])
def test_references_are_up_to_date(generator: ModuleType, name: str) -> None:
    """A reference says what the protos and the code say; `make proto` writes it again."""
    assert (_DOCS / name).read_text() == generator.REFERENCES[name]()


def test_every_reason_states_its_code() -> None:
    """The code that stands beside a reason is the one that it is answered with."""
    rows = re.findall(r"\| `(\w+)` \| \d+ \| (\w+) \|", (_DOCS / "errors.md").read_text())
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, FacegridError)]
    answered = {kind.reason: status_code(kind("")).name for kind in kinds if kind.reason}
    assert answered.items() <= dict(rows).items()
