"""Room for deletions in a store that is full: they write before they remove."""

import os
import threading

from facegrid.storage.objects.store import ObjectStore
from facegrid.storage.records.layout import TENANT

_KEY = f"{TENANT}reserve"
_BYTES = 1024 * 1024  # hundreds of tombstones, on any file system


class Reserve:
    """An object that is there to be removed; each method blocks."""

    def __init__(self, store: ObjectStore) -> None:
        """Take the store."""
        self._store = store
        self._turn, self._whole = threading.Lock(), False

    def keep(self) -> None:
        """Make sure of the room before anything is added. Raises OSError where there is none."""
        with self._turn:
            if not self._whole:
                self._store.put_if_absent(_KEY, os.urandom(_BYTES))  # that no file system makes smaller
                self._whole = True

    def spend(self) -> None:
        """Give the room away, to a deletion that found none."""
        with self._turn:
            self._whole = False
            self._store.delete(_KEY)
