"""Model files made of other model files, kept beside them.

The name of such a file states its source's sha256 and its own, so that one which somebody changed, or whose
source is another by now, is told apart and made again.
"""

import hashlib
import re
import tempfile
from collections.abc import Iterator
from glob import escape
from pathlib import Path

_NAME = re.compile(r".+\.(?P<source>[0-9a-f]{64})\.(?P<own>[0-9a-f]{64})\.(?:batchable|half)")


def kept(path: Path, kind: str) -> Path | None:
    """Return the file of a kind that was made of `path` and is as it was made, if it is there."""
    made = path.parent.glob(f"{escape(path.name)}.{sha256_of(path)}.*.{kind}")
    return next((file for file in made if _own(file) == sha256_of(file)), None)


def keep(path: Path, kind: str, content: bytes) -> Path | bytes:
    """Write what was made of `path` beside it and return the file.

    The content itself comes back where the folder cannot be written.
    """
    target = path.with_name(f"{path.name}.{sha256_of(path)}.{hashlib.sha256(content).hexdigest()}.{kind}")
    try:
        for spoiled in path.parent.glob(f"{escape(path.name)}.*.{kind}"):
            spoiled.unlink()
        write_whole(target, content)
    except OSError:
        return content
    return target


def spoiled_files(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder that were changed after they were made of a model file."""
    for file in sorted(folder.iterdir()):
        if (own := _own(file)) and own != sha256_of(file):
            yield file


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears complete or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".building-") as folder:
        partial = Path(folder) / path.name
        partial.write_bytes(content)
        partial.replace(path)


def sha256_of(path: Path) -> str:
    """Return the digest of a file's content in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _own(file: Path) -> str:
    found = _NAME.fullmatch(file.name)
    return found["own"] if found else ""
