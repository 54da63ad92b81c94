"""Packs are installed whole or not at all, from servers and archives of every kind."""

import hashlib
import json
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from getpass import getuser
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_LZMA, ZipFile, ZipInfo

import pytest

from facegrid.vision.download import Downloader
from facegrid.vision.install import ARCHIVES, LICENCE, PackInstaller
from facegrid.vision.manifest import PackError
from releases import GOOD, MODELS, OTHER, Answer, ReleaseServer, claiming, zipped


@dataclass
class CopyingAdder:
    """Makes a pack of a folder by copying it."""

    pack: Path

    def __call__(self, folder: Path) -> Path:
        """Copy."""
        return shutil.copytree(folder, self.pack)


class RefusingAdder(CopyingAdder):
    """Takes no models."""

    def __call__(self, folder: Path) -> Path:
        """Refuse."""
        raise PackError(f"{sorted(file.name for file in folder.iterdir())}: no detector among these")


class Site:
    """A folder of packs, and what installs buffalo_sc there."""

    def __init__(self, root: Path) -> None:
        """Begin without packs."""
        self.root, self.pack = root, root / "buffalo_sc"
        self.record_file = root / "buffalo_sc.install.json"
        self.add: CopyingAdder = CopyingAdder(self.pack)

    def install(self, **options: object) -> str:
        """Install with an acknowledged licence; return "new" or "already"."""
        fetch = Downloader(lambda *_: None, tries=1).fetch
        installer = PackInstaller(self.root, "buffalo_sc", add=self.add, fetch=fetch)
        installed = installer.install(**{"accept_licence": True, **options})
        assert installed.folder == self.pack
        return "new" if installed.new else "already"

    def models(self) -> dict[str, bytes]:
        """Return the pack's files."""
        return {file.name: file.read_bytes() for file in self.pack.iterdir()}

    def record(self) -> dict[str, object]:
        """Return the install record."""
        return json.loads(self.record_file.read_text("utf-8"))

    def left(self) -> list[str]:
        """Return the names of all that lies in the folder of packs."""
        return sorted(path.name for path in self.root.iterdir()) if self.root.exists() else []


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a site without packs."""
    return Site(tmp_path / "models")


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], Path]:
    """Return what writes an archive to a file."""

    def write(content: bytes) -> Path:
        (tmp_path / "pack.zip").write_bytes(content)
        return tmp_path / "pack.zip"

    return write


def test_a_pack_is_downloaded_and_recorded(site: Site, server: ReleaseServer) -> None:
    """The pack has the archive's models; the record has source, hash, size and who acknowledged what."""
    assert site.install(url=server.url) == "new"
    assert site.models() == MODELS
    record = site.record()
    assert record.pop("installed_at")
    assert record == {
        "source": server.url,
        "sha256": hashlib.sha256(GOOD).hexdigest(),
        "size": len(GOOD),
        "licence": LICENCE,
        "licence_accepted_by": getuser(),
    }
    assert site.left() == ["buffalo_sc", "buffalo_sc.install.json"]
    assert server.asked[0]["User-Agent"] == "facegrid"


def test_the_default_is_the_release(tmp_path: Path) -> None:
    """Without an address the pack comes from InsightFace's release."""
    asked = []

    def fetch(url: str, folder: Path) -> Path:
        asked.append(url)
        folder.mkdir()
        return Path(shutil.copy(tmp_path / "good.zip", folder))

    (tmp_path / "good.zip").write_bytes(GOOD)
    PackInstaller(tmp_path, "antelopev2", add=CopyingAdder(tmp_path / "antelopev2"), fetch=fetch).install(
        accept_licence=True
    )
    assert asked == [ARCHIVES["antelopev2"]]
    with pytest.raises(
        PackError, match="use one of: buffalo_l, buffalo_m, buffalo_s, buffalo_sc, antelopev2"
    ):
        PackInstaller(tmp_path, "buffalo", add=CopyingAdder(tmp_path), fetch=fetch)


@pytest.mark.parametrize(
    "wrong", [claiming(-100), lambda handler: handler.answer(200, b"<html>Sign in</html>")]
)
def test_a_wrong_file_is_not_kept(site: Site, server: ReleaseServer, wrong: Answer) -> None:
    """A truncated archive or a page of HTML is named by its address, and leaves nothing behind."""
    server.script = [wrong]
    with pytest.raises(PackError, match=f"{server.url} is not a whole zip archive"):
        site.install(url=server.url)
    assert site.left() == []
    assert site.install(url=server.url) == "new"


def _entry(name: str, mode: int) -> bytes:
    with ZipFile(buffer := BytesIO(), "w") as archive:
        entry = ZipInfo(name)
        entry.external_attr = mode << 16
        archive.writestr(entry, b"/etc/passwd")
    return buffer.getvalue()


def _bomb() -> bytes:
    """Return an archive of 3 kB whose directory promises 8 GB."""
    packed = zipped({"a.onnx": bytes(1 << 20), "b.onnx": bytes(1 << 20)}, ZIP_DEFLATED)
    return packed.replace((1 << 20).to_bytes(4, "little"), (0xF0 << 24).to_bytes(4, "little"))


def _with_wild_directory() -> bytes:
    """Return a zip whose entries would begin before the file: the directory states too large an offset."""
    return GOOD[:-6] + b"\xff" * 3 + GOOD[-3:]


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (zipped({"../evil.onnx": b""}), r"'\.\./evil\.onnx'"),
        (zipped({"a/../../evil.onnx": b""}), r"'a/\.\./\.\./evil\.onnx'"),
        (zipped({"/tmp/evil.onnx": b""}), "'/tmp/evil.onnx'"),  # noqa: S108  # never written
        (zipped({"..\\evil.onnx": b""}), "evil.onnx'"),
        (zipped({"run.sh": b"", **MODELS}), "'run.sh'"),
        (zipped({"../evil/": b""}), r"'\.\./evil/'"),
        (zipped({"a/det.onnx": b"", "b/det.onnx": b""}), "'b/det.onnx'"),
        (_entry("link.onnx", stat.S_IFLNK | 0o777), "'link.onnx'"),
        (_entry("pipe.onnx", stat.S_IFIFO | 0o777), "'pipe.onnx'"),
        (zipped({"odd.onnx": b"odd"}, ZIP_LZMA), "'odd.onnx'"),
        (zipped({f"{number}.onnx": b"" for number in range(33)}), "33 entries"),
        (zipped({"a/": b""}), "no .onnx file"),
        (_bomb(), "8053063680 bytes"),
        (GOOD.replace(b"detector", b"defector"), "not a whole zip archive"),
        (GOOD[: len(GOOD) // 2], "not a whole zip archive"),
        (_with_wild_directory(), "not a whole zip archive"),
    ],
)
def test_bad_archives(
    site: Site, file: Callable[[bytes], Path], tmp_path: Path, archive: bytes, words: str
) -> None:
    """Nothing but plain .onnx files is unpacked; the error names the archive and the entry."""
    with pytest.raises(PackError, match=words) as caught:
        site.install(file=file(archive))
    assert str(tmp_path / "pack.zip") in str(caught.value)
    assert site.left() == []
    assert list(tmp_path.rglob("*evil*")) == []


def test_a_file_is_installed_without_network(site: Site, file: Callable[[bytes], Path]) -> None:
    """--file takes the archive where it lies, and folders inside it are left out, as antelopev2 needs."""
    nested = zipped({"antelopev2/": b"", **{f"antelopev2/{name}": MODELS[name] for name in MODELS}})
    assert site.install(file=file(nested)) == "new"
    assert site.models() == MODELS
    assert site.record()["source"] == str(file(nested))


def test_the_stated_sha256_must_match(site: Site, server: ReleaseServer) -> None:
    """A sha256 that is stated beforehand holds at the first install, and must be one."""
    with pytest.raises(PackError, match="--sha256 says 0000"):
        site.install(url=server.url, sha256="0" * 64)
    with pytest.raises(PackError, match="64 digits"):
        site.install(url=server.url, sha256="12")
    assert site.left() == []
    assert site.install(url=server.url, sha256=hashlib.sha256(GOOD).hexdigest()) == "new"


def test_the_first_archive_is_pinned(site: Site, file: Callable[[bytes], Path]) -> None:
    """After the pack is removed another archive needs --repin, and is then the pinned one."""
    site.install(file=file(GOOD))
    shutil.rmtree(site.pack)
    with pytest.raises(PackError, match="with --repin"):
        site.install(file=file(OTHER))
    assert not site.pack.exists()
    assert site.install(file=file(OTHER), repin=True) == "new"
    assert site.record()["sha256"] == hashlib.sha256(OTHER).hexdigest()


def test_an_installed_pack_stays(site: Site, server: ReleaseServer, file: Callable[[bytes], Path]) -> None:
    """The same archive is installed already, by address, hash or file; any other is an error."""
    site.install(url=server.url)
    good = hashlib.sha256(GOOD).hexdigest()
    for same in ({"url": server.url}, {"sha256": good}, {"file": file(GOOD)}):
        assert site.install(**same) == "already"
    for other in (
        {"url": "http://127.0.0.1:1"},
        {"url": server.url, "sha256": "0" * 64},
        {"file": file(OTHER)},
    ):
        with pytest.raises(PackError, match=f"is there already, from {server.url}"):
            site.install(**other, repin=True)
    assert len(server.asked) == 1
    assert site.models() == MODELS


def test_a_pack_of_another_making_is_not_touched(site: Site, file: Callable[[bytes], Path]) -> None:
    """A folder of the pack's name without a record is the operator's own."""
    site.pack.mkdir(parents=True)
    with pytest.raises(PackError, match="made otherwise; remove that folder first"):
        site.install(file=file(GOOD))
    assert site.models() == {}


def test_models_that_make_no_pack_leave_nothing(site: Site, server: ReleaseServer) -> None:
    """Where the models are refused, neither pin nor archive stays."""
    site.add = RefusingAdder(site.pack)
    with pytest.raises(PackError, match="no detector among these"):
        site.install(url=server.url)
    assert site.left() == []


def test_the_licence_comes_first(site: Site, server: ReleaseServer) -> None:
    """Without the acknowledgement nothing is asked of the server, and the error says how to give it."""
    with pytest.raises(PackError, match=r"non-commercial research only .* --accept-licence"):
        site.install(url=server.url, accept_licence=False)
    assert server.asked == []
    assert site.left() == []


def test_a_spoilt_record_is_named(site: Site, file: Callable[[bytes], Path]) -> None:
    """A record that cannot be read stops the install, for the pin is not known then."""
    site.root.mkdir()
    site.record_file.write_text("{}")
    with pytest.raises(PackError, match=r"buffalo_sc\.install\.json is no install record"):
        site.install(file=file(GOOD))
