"""The house keeps its shape."""

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def test_imports_point_one_way() -> None:
    """The contracts of import-linter hold."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    checked = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_no_file_is_over_300_lines() -> None:
    """A file that grows beyond this has a second home to find."""
    long = [
        (str(path.relative_to(_ROOT)), lines)
        for folder in ("services", "tests", "loadtests", "docs")
        for path in (_ROOT / folder).rglob("*.py")
        if "v1" not in path.parts and (lines := len(path.read_text("utf-8").splitlines())) > 300
    ]
    assert long == []


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    """Importing the command line brings in neither models nor stores nor Ray."""
    code = (
        "import sys, facegrid.cli.main; "
        "print([name for name in ('cv2', 'onnxruntime', 'onnx', 'pymilvus', 'ray', 'faiss', 'pyarrow') "
        "if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
