"""Installs InsightFace's model packs from their release archives, by download or from a file."""

import errno
import getpass
import hashlib
import os
import re
import shutil
import stat
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from pydantic import BaseModel, ConfigDict, ValidationError

from facegrid.vision.manifest import PackError

_RELEASE = "https://github.com/deepinsight/insightface/releases/download/v0.7"
ARCHIVES = {
    name: f"{_RELEASE}/{name}.zip"
    for name in ("buffalo_l", "buffalo_m", "buffalo_s", "buffalo_sc", "antelopev2")
}
LICENCE = (
    "InsightFace's weights are for non-commercial research only "
    "(https://github.com/deepinsight/insightface#license)"
)

_MAX_ENTRIES = 32
_MAX_UNPACKED_BYTES = 2 << 30
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_ENTRY = re.compile(rf"(?:{_PART}/)*(?P<file>{_PART}\.onnx)")
_FOLDER = re.compile(rf"(?:{_PART}/)+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Installed:
    """An installed pack; `new` is false where the same archive was installed before."""

    folder: Path
    sha256: str
    new: bool


class InstallRecord(BaseModel):
    """Where a pack comes from, what its archive hashes to, and who acknowledged the licence then."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    sha256: str
    size: int
    installed_at: datetime
    licence: str
    licence_accepted_by: str


class PackInstaller:
    """Installs one pack below a folder of packs.

    What the archives hash to is not known here: the first install takes it from the archive and pins it in
    `NAME.install.json` beside the pack, where it outlives the pack's folder.
    """

    def __init__(
        self, root: Path, name: str, *, add: Callable[[Path], Path], fetch: Callable[[str, Path], Path]
    ) -> None:
        """Let `fetch` download a URL into a folder, and `add` make the pack of a folder of ONNX files.

        `add` returns the pack's folder, which it makes whole or not at all. Raises PackError.
        """
        if name not in ARCHIVES:
            raise PackError(f"no pack {name!r} can be installed; use one of: {', '.join(ARCHIVES)}")
        self._root, self._name, self._add, self._fetch = root, name, add, fetch
        self._record_file = root / f"{name}.install.json"

    def install(
        self,
        *,
        accept_licence: bool,
        url: str = "",
        file: Path | None = None,
        sha256: str = "",
        repin: bool = False,
    ) -> Installed:
        """Install from the release, a mirror's URL or a file. Raises PackError; a stopped download stays."""
        if not accept_licence:
            raise PackError(
                f"{LICENCE}; if you may use them so, acknowledge it with --accept-licence, which is recorded"
            )
        if sha256 and not _SHA256.fullmatch(sha256):
            raise PackError(f"--sha256 is {sha256!r}; give 64 digits of 0-9 a-f")
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            if (self._root / self._name).exists():
                return self._same(url, file, sha256)
            if file is not None:
                return self._take(file, str(file.absolute()), sha256, repin=repin)
            return self._download(url or ARCHIVES[self._name], sha256, repin=repin)
        except OSError as error:
            place = error.filename or self._root
            raise PackError(
                f"{place}: {error.strerror or error}; correct this and run the command again"
            ) from error

    def _same(self, url: str, file: Path | None, sha256: str) -> Installed:
        record, folder = self._record(), self._root / self._name
        if record is not None:
            claims = {sha256, "" if file is None else _sha256(file)} - {""}
            same_source = record.source == (url or ARCHIVES[self._name])
            if claims == {record.sha256} or (not claims and same_source):
                return Installed(folder, record.sha256, new=False)
        origin = "made otherwise" if record is None else f"from {record.source} with sha256 {record.sha256}"
        raise PackError(
            f"{folder} is there already, {origin}; remove that folder first to install another archive"
        )

    def _download(self, url: str, sha256: str, *, repin: bool) -> Installed:
        folder = self._root / f".{self._name}.download"
        archive = self._fetch(url, folder)
        try:
            installed = self._take(archive, url, sha256, repin=repin)
        except PackError:
            shutil.rmtree(folder)
            raise
        shutil.rmtree(folder)
        return installed

    def _take(self, archive: Path, source: str, sha256: str, *, repin: bool) -> Installed:
        record = self._pinned(archive, source, sha256, repin=repin)
        with tempfile.TemporaryDirectory(dir=self._root, prefix=f".{self._name}.unpacked-") as staging:
            models, pending = Path(staging) / self._name, Path(staging) / "install.json"
            models.mkdir()
            unpack(archive, models, source)
            pending.write_text(record.model_dump_json(indent=2), "utf-8")
            folder = self._add(models)
            pending.replace(self._record_file)
        return Installed(folder, record.sha256, new=True)

    def _pinned(self, archive: Path, source: str, sha256: str, *, repin: bool) -> InstallRecord:
        """Return the record of an archive that hashes to what is pinned, where something is."""
        found, record = _sha256(archive), None if repin else self._record()
        if sha256 not in {"", found}:
            raise PackError(f"{source} has sha256 {found} and --sha256 says {sha256}; get the right archive")
        if record is not None and record.sha256 != found:
            raise PackError(
                f"{source} has sha256 {found} and {self._record_file} pins {record.sha256}; "
                "get that archive, or accept this one with --repin"
            )
        return InstallRecord(
            source=source,
            sha256=found,
            size=archive.stat().st_size,
            installed_at=datetime.now(UTC),
            licence=LICENCE,
            licence_accepted_by=_user(),
        )

    def _record(self) -> InstallRecord | None:
        try:
            return InstallRecord.model_validate_json(self._record_file.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise PackError(f"{self._record_file} is no install record; remove or restore it") from error


def unpack(archive: Path, folder: Path, source: str) -> None:
    """Write the archive's ONNX files straight into a folder. Raises PackError that names a wrong entry.

    Antelopev2 has its files in a folder of its own, so folders within the archive are left out.
    """
    try:
        with ZipFile(archive) as opened:
            for name, entry in _files(opened.infolist(), source).items():
                with opened.open(entry) as packed, (folder / name).open("xb") as file:
                    shutil.copyfileobj(packed, file)
    except (BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a disk's, not a wild offset's
            raise
        raise PackError(
            f"{source} is not a whole zip archive ({error}); check the address or copy the file again"
        ) from error


def _files(entries: list[ZipInfo], source: str) -> dict[str, ZipInfo]:
    """Check all that the archive states of itself; zipfile never unpacks more than that."""
    unpacked = sum(entry.file_size for entry in entries)
    if len(entries) > _MAX_ENTRIES or unpacked > _MAX_UNPACKED_BYTES:
        raise PackError(
            f"{source} holds {len(entries)} entries of {unpacked} bytes, and {_MAX_ENTRIES} of "
            f"{_MAX_UNPACKED_BYTES} are the limit; this is no model pack"
        )
    files: dict[str, ZipInfo] = {}
    for entry in entries:
        if _FOLDER.fullmatch(entry.orig_filename):
            continue
        found = _ENTRY.fullmatch(entry.orig_filename)
        if not found or not _is_plain(entry) or found["file"] in files:
            raise PackError(
                f"{source}: the entry {entry.orig_filename!r} is not one plain .onnx file inside the "
                "archive's own folders; this is no model pack, get the right archive"
            )
        files[found["file"]] = entry
    if not files:
        raise PackError(f"{source} holds no .onnx file; this is no model pack, get the right archive")
    return files


def _is_plain(entry: ZipInfo) -> bool:
    """Say whether it is a regular file (0: not said), not encrypted, packed in one of the usual ways."""
    kind, encrypted = stat.S_IFMT(entry.external_attr >> 16), entry.flag_bits & 1
    return kind in {0, stat.S_IFREG} and not encrypted and entry.compress_type in {ZIP_STORED, ZIP_DEFLATED}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
