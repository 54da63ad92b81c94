"""Manifests: numbered objects of which the highest says which segments count."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from secrets import token_hex

from facegrid.storage.objects.forms import Form, read, to_json
from facegrid.storage.objects.store import ObjectMissing, ObjectStore, UnreadableObject

_LOOKS = 2  # a listing may miss what is published during it


class ManifestMissing(UnreadableObject):
    """Segments are there, or were, without the manifest that says which of them count."""


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A segment's key, the bytes of the file and of its footer, and the footer's checksum."""

    key: str
    size: int
    footer: int
    footer_crc32: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The segments that count, and the highest revision of a tombstone that stands in them."""

    number: int = 0
    files: tuple[SegmentFile, ...] = ()
    last_revision: int = 0


class Manifests:
    """The manifests below a prefix, and the segments beside them; each method blocks.

    A segment's name begins with the number of the one manifest that may be the first to name it, so that it
    is known to be garbage once that number is published, whoever else may be writing.
    """

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        """Take the store and the prefix."""
        self._store, self._prefix = store, prefix

    def newest(self, least: int = 0) -> Manifest:
        """Return the manifest that counts, an empty one where none was ever published.

        Raises ManifestMissing where one of the `least` number, or one before any segment, has to be there.
        """
        least = least or int(any(self._store.keys(f"{self._prefix}files/")))
        for _ in range(_LOOKS):
            while (numbers := self._numbers()) and numbers[-1] >= least:
                try:
                    return self._read(numbers[-1])
                except ObjectMissing:
                    continue  # a newer one was published
        if least:
            raise ManifestMissing(
                f"the newest manifest below {self._prefix}manifests/ is missing; restore it from a backup"
            )
        return Manifest()

    def segment_key(self, manifest: int) -> str:
        """Return a new key for a segment that a manifest is to name first."""
        return f"{self._prefix}files/{manifest:012d}-{token_hex(8)}.parquet"

    def publish(self, manifest: Manifest) -> bool:
        """Let a manifest count; say whether it does, for another may have taken its number."""
        form = {
            "files": [
                {
                    "name": file.key.removeprefix(self._prefix),
                    "size": file.size,
                    "footer": file.footer,
                    "footer_crc32": file.footer_crc32,
                }
                for file in manifest.files
            ],
            "last_revision": manifest.last_revision,
        }
        won = self._store.put_if_absent(self._key(manifest.number), to_json(form))
        # Our number may be free because a higher one has come and its predecessors were swept away.
        return won and self._numbers()[-1:] == [manifest.number]

    def sweep(self, manifest: Manifest) -> None:
        """Remove what the newest manifest has replaced, and what never came to be named."""
        kept = {file.key for file in manifest.files}
        for number in self._numbers():
            if number < manifest.number:
                self._sweep_old(number, kept)
        for key in self.unnamed(manifest):
            self._store.delete(key)

    def unnamed(self, manifest: Manifest) -> list[str]:
        """Return the keys of the segments that the newest manifest does not name and none to come will."""
        kept, prefix = {file.key for file in manifest.files}, f"{self._prefix}files/"
        return [
            key
            for key in self._store.keys(prefix)
            if key not in kept and int(key.removeprefix(prefix).partition("-")[0]) <= manifest.number
        ]

    def _sweep_old(self, number: int, kept: Collection[str]) -> None:
        with suppress(ObjectMissing, UnreadableObject):
            for file in self._read(number).files:
                if file.key not in kept:
                    self._store.delete(file.key)
        self._store.delete(self._key(number))

    def _read(self, number: int) -> Manifest:
        return read(self._store, self._key(number), partial(self._parse, number))

    def _parse(self, number: int, form: Form) -> Manifest:
        files = (
            SegmentFile(self._prefix + one["name"], one["size"], one["footer"], one["footer_crc32"])
            for one in form["files"]
        )
        return Manifest(number, tuple(files), form["last_revision"])

    def _numbers(self) -> list[int]:
        prefix = f"{self._prefix}manifests/"
        return [int(key.removeprefix(prefix).removesuffix(".json")) for key in self._store.keys(prefix)]

    def _key(self, number: int) -> str:
        return f"{self._prefix}manifests/{number:012d}.json"
