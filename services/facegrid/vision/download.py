"""Fetches a file over HTTP and goes on where a connection broke off: the package's one way to the network."""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPException, HTTPMessage, HTTPResponse, InvalidURL
from itertools import chain
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pydantic import BaseModel, ValidationError

from facegrid.vision.manifest import PackError

Progress = Callable[[int, int | None], None]

_CHUNK_BYTES = 64 * 1024
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_PARTIAL_CONTENT, _RANGE_NOT_SATISFIABLE = 206, 416
_WORTH_ANOTHER_TRY = {408, 425, 429, 500, 502, 503, 504}


class Downloader:
    """Downloads a file into a folder of its own, where a broken or stopped download waits to go on."""

    def __init__(
        self,
        progress: Progress,
        *,
        limit_bytes: int = 1 << 30,
        tries: int = 6,
        pause_s: float = 1.0,
        timeout_s: float = 30.0,
    ) -> None:
        """Tell `progress` (bytes there, bytes in all where known); give up after `tries` connections.

        The pause doubles from one to the next. `timeout_s` bounds each wait for the server.
        """
        self._progress = progress
        self._limit, self._tries, self._pause_s, self._timeout_s = limit_bytes, tries, pause_s, timeout_s
        self._opener = build_opener(_Redirects())

    def fetch(self, url: str, folder: Path) -> Path:
        """Return the file, complete by the server's own account of its size. Raises PackError and OSError."""
        if not url.lower().startswith(("http://", "https://")):
            raise PackError(f"{url} cannot be downloaded; give an address that begins with https://")
        broken = ""
        for attempt in range(self._tries):
            if attempt:
                time.sleep(self._pause_s * 2 ** (attempt - 1))
            try:
                return self._go_on(url, folder)
            except _Broken as error:
                broken = str(error)
        raise PackError(f"{url}: {broken}; run the command again to go on, or give --url or --file")

    def _go_on(self, url: str, folder: Path) -> Path:
        note, archive = _read_note(url, folder), folder / "archive"
        have = archive.stat().st_size if archive.exists() else 0
        if have == note.total:
            return archive
        with self._answer(url, folder, have, note.validator) as answer:
            start, total = _extent(answer)
            if start and (start != have or note.total not in {None, total}):
                shutil.rmtree(folder)
                raise _Broken("the server went on with another part than was asked for")
            if not start:
                _begin(folder, _Note(url=url, validator=_validator(answer), total=total))
            with archive.open("ab") as file:
                for chunk in chain([b""], _chunks(answer)):
                    have = file.tell() + len(chunk)
                    self._check_limit(url, folder, max(have, total or 0))
                    file.write(chunk)
                    self._progress(have, total)
        if total not in {None, have}:
            raise _Broken(f"the connection ended after {have} of {total} bytes")
        return archive

    def _answer(self, url: str, folder: Path, have: int, validator: str) -> HTTPResponse:
        headers = {"User-Agent": "facegrid"}
        if have:
            headers |= {"Range": f"bytes={have}-"} | ({"If-Range": validator} if validator else {})
        try:
            answer: HTTPResponse = self._opener.open(
                Request(url, headers=headers),  # noqa: S310  # the scheme is checked
                timeout=self._timeout_s,
            )
        except HTTPError as error:
            error.close()
            if error.code == _RANGE_NOT_SATISFIABLE:
                shutil.rmtree(folder, ignore_errors=True)
            elif error.code not in _WORTH_ANOTHER_TRY:
                raise PackError(
                    f"{url}: the server answers {error.code} {error.reason}; check the address, "
                    "or give --url or --file"
                ) from None
            raise _Broken(f"the server answers {error.code} {error.reason}") from None
        except (InvalidURL, ValueError) as error:
            raise PackError(f"{url} is no address: {error}; correct it") from None
        except (OSError, HTTPException) as error:
            raise _Broken(f"no connection ({getattr(error, 'reason', error)})") from None
        return answer

    def _check_limit(self, url: str, folder: Path, size: int) -> None:
        if size > self._limit:
            shutil.rmtree(folder)
            raise PackError(f"{url} is larger than {self._limit} bytes, so no model pack; check the address")


class _Broken(Exception):
    """A connection that failed in a way that may pass."""


class _Redirects(HTTPRedirectHandler):
    """Follows a redirect that stays with the scheme or goes up to https."""

    def redirect_request(  # noqa: PLR0917  # urllib calls it so
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if urlsplit(newurl).scheme not in {"https", req.type}:
            fp.close()
            raise PackError(f"{req.full_url} leads to {newurl}, which is not https; give --url or --file")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Note(BaseModel):
    """What a partial file is part of."""

    url: str
    validator: str = ""
    total: int | None = None


def _read_note(url: str, folder: Path) -> _Note:
    """Return the note of a partial file of this URL; anything else in the folder is removed."""
    with suppress(FileNotFoundError, ValidationError):
        note = _Note.model_validate_json((folder / "note.json").read_bytes())
        if note.url == url:
            return note
    shutil.rmtree(folder, ignore_errors=True)
    return _Note(url=url)


def _begin(folder: Path, note: _Note) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "archive").write_bytes(b"")
    (folder / "note.json").write_text(note.model_dump_json(), "utf-8")


def _validator(answer: HTTPResponse) -> str:
    """Return what If-Range may hold: a strong ETag (RFC 9110, 13.1.5)."""
    etag = answer.headers.get("ETag", "")
    return "" if etag.startswith("W/") else etag


def _extent(answer: HTTPResponse) -> tuple[int, int | None]:
    """Return where the answer's bytes begin in the file, and the file's size."""
    if answer.status == _PARTIAL_CONTENT:
        if not (found := _RANGE.fullmatch(answer.headers.get("Content-Range", ""))):
            raise _Broken("the server does not say which part it sends")
        return int(found[1]), int(found[2])
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _chunks(answer: HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := answer.read(_CHUNK_BYTES):
            yield chunk
    except (OSError, HTTPException) as error:
        raise _Broken(f"the connection broke off ({error})") from None
