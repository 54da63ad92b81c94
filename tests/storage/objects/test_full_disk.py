"""A folder on a disk that is really full."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from s3_servers import on_small_disk

TESTS = Path(__file__).resolve().parents[2]
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


DELETE = """
import asyncio, sys
from itertools import count
from pathlib import Path
from facegrid.domain.errors import StorageFull
from facegrid.domain.galleries import Tombstone
from facegrid.storage.objects.files import LocalObjectStore
from facegrid.storage.records.records import StoredRecords
from storage.making import enrol, load, make_call, make_encounter, make_gallery

def fill_to_the_last_byte():
    with Path(sys.argv[1], ".filler").open("ab", buffering=0) as file:
        for size in (65536, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue

async def main():
    records, gallery = StoredRecords(LocalObjectStore(Path(sys.argv[1])), workers=2), make_gallery()
    await records.create_gallery(gallery, make_call("CreateGallery", "r1"))
    people = [make_encounter(number, f"s{number}") for number in range(30)]
    await enrol(records, gallery, *people)
    assert len(await load(records, gallery)) == 30
    fill_to_the_last_byte()
    late, refused = 100, 0
    for one in people[:20]:
        for _ in range(5):
            try:
                await enrol(records, gallery, make_encounter(late := late + 1, f"s{late}"))
            except StorageFull:
                refused += 1
        ids = (one.encounter_id,)
        await records.bury(gallery, Tombstone(ids, 50), make_call("DeleteSubject", one.subject_id))
        await records.erase(gallery, one.subject_id, ids)
    kept = 10 + 20 * 5 - refused
    assert refused > 20, refused
    assert len(await load(records, gallery)) == kept
    Path(sys.argv[1], ".filler").unlink()
    await enrol(records, gallery, make_encounter(99, "late"))
    records.close()
    records = StoredRecords(LocalObjectStore(Path(sys.argv[1])), workers=2)
    assert len(await load(records, gallery)) == kept + 1
    records.close()

asyncio.run(main())
"""


@pytest.mark.integration
def test_subjects_are_deleted_on_a_full_disk(tmp_path: Path) -> None:
    """Beside others who enrol as soon as there is room: what is kept for deletions is not theirs."""
    command = on_small_disk([sys.executable, "-c", DELETE, tmp_path], tmp_path, "8m")
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path}
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
