"""The embedded object store: a folder that one process owns."""

import fcntl
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Self
from uuid import uuid4

from facegrid.domain.errors import ConfigurationError
from facegrid.storage.objects.store import ObjectMissing, check_key

_PRIVATE_FOLDER = 0o700


class FolderInUse(ConfigurationError):
    """Another process works in the folder; the message, for operators, says which."""


class FolderLock:
    """Makes a folder this process's own until it is closed or the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Lock the folder, which is made where it is missing. Raises FolderInUse."""
        folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        self._file = os.fdopen(os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600), "r+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with self._file:
                raise FolderInUse(
                    f"{folder} is in use by {_owner(self._file.read())}; call that server, or stop it first"
                ) from None
        self.announce("")

    @property
    def place(self) -> str:
        """A name of the locked file: two processes never hold locks of one name at once."""
        boot, file = Path("/proc/sys/kernel/random/boot_id"), os.fstat(self._file.fileno())
        machine = boot.read_text().strip() if boot.exists() else uuid4().hex
        return f"{machine}-{file.st_dev}-{file.st_ino}"

    def __enter__(self) -> Self:
        """Return the lock, which is held already."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Release the lock."""
        self.close()

    def announce(self, address: str) -> None:
        """Say at which address this process serves; empty for a command that does not."""
        self._file.seek(0)
        self._file.truncate()
        json.dump({"pid": os.getpid(), "address": address}, self._file)
        self._file.flush()

    def close(self) -> None:
        """Release the lock."""
        self._file.close()


def _owner(text: str) -> str:
    """Say who wrote a lock file; it is empty for the moment between its locking and its writing."""
    owner = json.loads(text) if text else {"pid": "unknown", "address": ""}
    role = f"the server at {owner['address']}" if owner["address"] else "another command"
    return f"{role} (process {owner['pid']})"


class LocalObjectStore:
    """Objects as files; the segments of a key are folders, which go when they are empty.

    Hold the folder's `FolderLock` first: opening removes the unfinished files of a crash.
    """

    def __init__(self, root: Path) -> None:
        """Open a folder, which is made where it is missing."""
        self._root = root
        self._unfinished = root / ".unfinished"
        self._tree = threading.Lock()
        self._unsynced: set[Path] = set()
        root.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self._unfinished.mkdir(mode=_PRIVATE_FOLDER)

    def get(self, key: str) -> bytes:
        """Return an object. Raises ObjectMissing."""
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise ObjectMissing(key) from None

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return part of an object, less where it ends before. Raises ObjectMissing."""
        try:
            with self._path(key).open("rb") as file:
                file.seek(start)
                return file.read(length)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise ObjectMissing(key) from None

    def put(self, key: str, data: bytes) -> None:
        """Write an object, over one that is there."""
        with self._written(data) as source:
            self._place(self._path(key), partial(os.replace, source))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write an object unless one is there; say whether it was written."""
        try:
            with self._written(data) as source:
                self._place(self._path(key), partial(os.link, source))
        except FileExistsError:
            return False
        return True

    def copy(self, key: str, target: str) -> None:
        """Give an object another key, over one that is there; both share their room on the disk.

        Raises ObjectMissing.
        """
        linked = self._unfinished / uuid4().hex
        try:
            os.link(self._path(key), linked)
            self._place(self._path(target), partial(os.replace, linked))
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:  # the last: a folder
            if self._path(key).is_file():
                raise
            raise ObjectMissing(key) from error
        finally:
            linked.unlink(missing_ok=True)  # it stays where the target was this very file

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        path = self._path(key)
        with self._tree:
            path.unlink(missing_ok=True)
            changed = self._prune(path.parent)
        self._sync([changed])

    def delete_prefix(self, prefix: str) -> None:
        """Remove every object below a prefix, in one step: the folder leaves the tree, then it is emptied."""
        folder = self._path(prefix)
        aside = Path(tempfile.mkdtemp(dir=self._unfinished))
        with self._tree:
            with suppress(FileNotFoundError):
                folder.rename(aside / "removed")
            changed = self._prune(folder.parent)
        self._sync([changed])
        shutil.rmtree(aside)

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """Yield the keys below a prefix that sort after `after`, lazily, in the order of their characters."""
        for name in self._names(prefix):
            key = prefix + name
            if not name.endswith("/"):
                if key > after:
                    yield key
            elif key > after or after.startswith(key):
                yield from self.keys(key, after)

    def _names(self, prefix: str) -> list[str]:
        try:
            with os.scandir(self._path(prefix) if prefix else self._root) as entries:
                return sorted(
                    entry.name + "/" * entry.is_dir(follow_symlinks=False)
                    for entry in entries
                    if not entry.name.startswith(".")
                )
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    @contextmanager
    def _written(self, data: bytes) -> Iterator[str]:
        descriptor, name = tempfile.mkstemp(dir=self._unfinished)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            yield name
        finally:
            Path(name).unlink(missing_ok=True)

    def _place(self, target: Path, move: Callable[[Path], None]) -> None:
        with self._tree:
            changed = self._make(target.parent)
            move(target)
        self._sync(changed)

    def _make(self, folder: Path) -> list[Path]:
        """Make a folder and return those whose entries are not durable yet, itself first.

        Another thread may have made a parent and not synced it so far: that one counts too.
        """
        chain = [folder]
        while chain[-1] in self._unsynced or not chain[-1].is_dir():
            chain.append(chain[-1].parent)
        for new in reversed(chain[:-1]):
            new.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
        self._unsynced.update(chain[:-1])
        return chain

    def _prune(self, folder: Path) -> Path:
        """Remove a folder and its parents as far as they are empty; return the first that stays."""
        while folder != self._root:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                break
            folder = folder.parent
        return folder

    def _sync(self, folders: Sequence[Path]) -> None:
        for folder in folders:
            with suppress(FileNotFoundError):  # removed since, so there is nothing left to keep
                _sync_folder(folder)
        with self._tree:
            self._unsynced.difference_update(folders)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
