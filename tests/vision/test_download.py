"""A download ends with the whole file, or with a sentence, whatever the server does."""

from pathlib import Path

import pytest

import facegrid
from facegrid.vision.download import Downloader
from facegrid.vision.manifest import PackError
from releases import (
    Answer,
    ReleaseServer,
    another_part,
    broken_off,
    claiming,
    redirecting,
    refusing,
    stalled,
    whole,
)


class Download:
    """Downloads into one folder, again and again; may be stopped at a number of bytes, as by Ctrl-C."""

    def __init__(self, folder: Path) -> None:
        """Begin with nothing."""
        self.folder = folder
        self.seen: list[tuple[int, int | None]] = []

    def __call__(self, url: str, *, stop_at: int | None = None, limit_bytes: int = 1 << 30) -> bytes:
        """Return the file."""

        def show(done: int, total: int | None) -> None:
            self.seen.append((done, total))
            if stop_at is not None and done >= stop_at:
                raise KeyboardInterrupt

        downloader = Downloader(show, limit_bytes=limit_bytes, tries=3, pause_s=0, timeout_s=0.5)
        return downloader.fetch(url, self.folder).read_bytes()

    def stop(self, url: str, at: int) -> int:
        """Stop a download and return how far it came."""
        with pytest.raises(KeyboardInterrupt):
            self(url, stop_at=at)
        return self.seen[-1][0]


@pytest.fixture
def download(tmp_path: Path) -> Download:
    """Return a download that has not begun."""
    return Download(tmp_path / "download")


def test_the_whole_file_comes_with_its_progress(download: Download, server: ReleaseServer) -> None:
    """Progress runs from nothing to the size that the server states."""
    size = len(server.content)
    assert download(server.url) == server.content
    assert (download.seen[0], download.seen[-1]) == ((0, size), (size, size))


@pytest.mark.parametrize("etag", ['"one"', 'W/"one"', None])
def test_a_broken_download_goes_on(download: Download, server: ReleaseServer, etag: str | None) -> None:
    """The second request asks for the rest alone, of the same file where the server gave a strong ETag."""
    server.etag, server.script = etag, [broken_off]
    assert download(server.url) == server.content
    first, second = server.asked
    assert "Range" not in first
    assert second["Range"] == f"bytes={len(server.content) // 2}-"
    assert second.get("If-Range") == ('"one"' if etag == '"one"' else None)


@pytest.mark.parametrize("second", [whole, another_part, refusing(416), refusing(503), stalled])
def test_a_server_may_not_go_on(download: Download, server: ReleaseServer, second: Answer) -> None:
    """Whatever answers the request for the rest, the file that comes of it is right."""
    server.script = [broken_off, second]
    assert download(server.url) == server.content


def test_ctrl_c_leaves_what_was_fetched(download: Download, server: ReleaseServer) -> None:
    """Run again, a stopped download fetches the rest alone; once whole, nothing more."""
    stopped_at = download.stop(server.url, len(server.content) // 2)
    assert download(server.url) == server.content
    assert server.asked[1]["Range"] == f"bytes={stopped_at}-"
    assert download(server.url) == server.content
    assert len(server.asked) == 2


def test_a_file_that_changed_meanwhile_is_fetched_anew(download: Download, server: ReleaseServer) -> None:
    """Parts of two files never make one."""
    download.stop(server.url, 1)
    server.content, server.etag = b"another" * 100_000, '"two"'
    assert download(server.url) == server.content


def test_another_mirror_starts_anew(download: Download, server: ReleaseServer) -> None:
    """What one address began is not ended from another."""
    download.stop(server.url + "?old", 1)
    assert download(server.url) == server.content
    assert "Range" not in server.asked[1]


@pytest.mark.parametrize(
    ("script", "asked", "words"),
    [
        ([refusing(404)], 1, "answers 404 Not Found; check the address"),
        ([refusing(503)] * 3, 3, "answers 503 Service Unavailable; run the command again"),
        ([claiming(+100)] * 3, 3, r"connection ended after \d+ of \d+ bytes; run the command again"),
        ([redirecting("ftp://127.0.0.1/pack.zip")], 1, "leads to ftp://127.0.0.1/pack.zip"),
    ],
)
def test_bad_servers(
    download: Download, server: ReleaseServer, script: list[Answer], asked: int, words: str
) -> None:
    """The error names the address and says what to do; what passes is tried a few times, and heals later."""
    server.script = script
    with pytest.raises(PackError, match=words) as caught:
        download(server.url)
    assert server.url in str(caught.value)
    assert len(server.asked) == asked
    assert download(server.url) == server.content


@pytest.mark.parametrize("stated", [True, False])
def test_a_file_over_the_limit_is_refused(download: Download, server: ReleaseServer, stated: bool) -> None:
    """No more than the limit is fetched and nothing kept, whether the server states the size or not."""
    size = len(server.content) if stated else None
    server.script = [lambda handler: handler.answer(200, server.content, Content_Length=size)]
    with pytest.raises(PackError, match="larger than 100000 bytes"):
        download(server.url, limit_bytes=100_000)
    assert all(done <= 100_000 for done, _ in download.seen)
    assert not download.folder.exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file:///etc/passwd", "begins with https"),
        ("http://[", "no address"),
        ("http://127.0.0.1:1/a.zip", "no connection"),
    ],
)
def test_bad_addresses(download: Download, url: str, words: str) -> None:
    """An address that leads nowhere is named."""
    with pytest.raises(PackError, match=words) as caught:
        download(url)
    assert url in str(caught.value)


def test_two_modules_fetch() -> None:
    """Only what was asked for opens an URL: the installation of a pack, and the keys that sign tokens."""
    root = Path(facegrid.__file__).parent
    fetching = {path.name for path in root.rglob("*.py") if "urllib.request" in path.read_text("utf-8")}
    assert fetching == {"download.py", "token_keys.py"}
