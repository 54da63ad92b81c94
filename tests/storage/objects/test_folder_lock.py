"""A folder has one owner."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from facegrid.storage.objects.files import FolderInUse, FolderLock

HOLD = """
import sys
from pathlib import Path
from facegrid.storage.objects.files import FolderLock
lock = FolderLock(Path(sys.argv[1]))
lock.announce(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


def hold_elsewhere(folder: Path, address: str) -> subprocess.Popen[str]:
    """Start a process that holds the folder until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize(
    ("address", "owner"), [("localhost:50051", "the server at localhost:50051"), ("", "another command")]
)
def test_a_second_process_is_told_who_the_first_is(tmp_path: Path, address: str, owner: str) -> None:
    """The message names the first one's address and pid; when that is killed, the folder is free."""
    with hold_elsewhere(tmp_path, address) as first:
        with pytest.raises(FolderInUse) as caught:
            FolderLock(tmp_path)
        assert f"{owner} (process {first.pid})" in str(caught.value)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        FolderLock(tmp_path).close()


def test_a_released_folder_can_be_locked_again(tmp_path: Path) -> None:
    """Within one process too, a lock is held once at a time."""
    with FolderLock(tmp_path / "new"), pytest.raises(FolderInUse, match=str(os.getpid())):
        FolderLock(tmp_path / "new")
    FolderLock(tmp_path / "new").close()


def test_a_place_is_that_of_one_folder(tmp_path: Path) -> None:
    """It stays the same from lock to lock, so that whoever holds it knows its former holder is gone."""
    with FolderLock(tmp_path / "a") as first, FolderLock(tmp_path / "b") as other:
        place = first.place
        assert place != other.place
    with FolderLock(tmp_path / "a") as again:
        assert again.place == place
