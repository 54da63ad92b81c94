"""A folder on a disk that is really full."""

import subprocess
import sys
from pathlib import Path

import pytest

from s3_servers import on_small_disk

FILL = """
import errno, sys
from pathlib import Path
from facegrid.storage.objects.files import LocalObjectStore

store, whole, written = LocalObjectStore(Path(sys.argv[1])), b"x" * 100_000, []
for write in (store.put, store.put_if_absent):
    for number in range(100):
        try:
            write(f"{write.__name__}/{number:03}", whole)
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
            break
        written.append(f"{write.__name__}/{number:03}")
    else:
        sys.exit("the disk did not fill")
    store.delete(written.pop(0))
assert list(store.keys("")) == sorted(written)
assert all(store.get(key) == whole for key in written)
assert not any(Path(sys.argv[1], ".unfinished").iterdir())
store.put("again", whole)
"""


@pytest.mark.integration
def test_a_full_folder_keeps_what_it_has(tmp_path: Path) -> None:
    """The write fails with ENOSPC and leaves nothing; what was there is whole, and deleting makes room."""
    command = on_small_disk([sys.executable, "-c", FILL, tmp_path], tmp_path, "1m")
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
