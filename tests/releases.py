"""Archives of two models, and a server on this machine that serves one as a test scripts it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from zipfile import ZipFile

Answer = Callable[["ReleaseHandler"], None]


def zipped(entries: dict[str, bytes], compression: int = 0) -> bytes:
    """Return a zip archive."""
    with ZipFile(buffer := BytesIO(), "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


MODELS = {"det.onnx": b"detector" * 40_000, "rec.onnx": bytes(range(256)) * 2_000}
GOOD = zipped(MODELS)
OTHER = zipped({"det.onnx": b"another"})


class ReleaseServer(ThreadingHTTPServer):
    """Gives the scripted answers in turn, then good ones; keeps the headers of each request."""

    daemon_threads = False

    def __init__(self, content: bytes) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), ReleaseHandler)
        self.content, self.etag = content, '"one"'
        self.script: list[Answer] = []
        self.asked: list[dict[str, str]] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        """Return the file's address."""
        return f"http://127.0.0.1:{self.server_port}/pack.zip"


class ReleaseHandler(BaseHTTPRequestHandler):
    """One request."""

    server: ReleaseServer

    def do_GET(self) -> None:
        """Answer as the script says."""
        self.server.asked.append(dict(self.headers))
        (self.server.script.pop(0) if self.server.script else well)(self)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self, code: int, body: bytes = b"", **headers: object) -> None:
        """Send an answer; keyword headers replace those of a good one, and None leaves one out."""
        self.send_response(code)
        for name, value in {"Content_Length": len(body), "ETag": self.server.etag, **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        with suppress(ConnectionError):  # who was stopped hears no more
            self.wfile.write(body)


@contextmanager
def running(server: ReleaseServer) -> Iterator[ReleaseServer]:
    """Serve in a thread."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def well(handler: ReleaseHandler) -> None:
    """Serve the part that is asked for, or all of it where the file is another by now."""
    content, start = handler.server.content, handler.headers.get("Range", "")[len("bytes=") : -1]
    if not start or handler.headers.get("If-Range", handler.server.etag) != handler.server.etag:
        handler.answer(200, content)
    elif int(start) >= len(content):
        handler.answer(416, Content_Range=f"bytes */{len(content)}")
    else:
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        handler.answer(206, content[int(start) :], Content_Range=span)


def broken_off(handler: ReleaseHandler) -> None:
    """Promise all and send the first half."""
    content = handler.server.content
    handler.answer(200, content[: len(content) // 2], Content_Length=len(content))


def stalled(handler: ReleaseHandler) -> None:
    """Send half and then nothing until the test ends."""
    broken_off(handler)
    handler.server.released.wait()


def whole(handler: ReleaseHandler) -> None:
    """Ignore Range."""
    handler.answer(200, handler.server.content)


def another_part(handler: ReleaseHandler) -> None:
    """Answer a Range with other bytes than were asked for."""
    size = len(handler.server.content)
    handler.answer(206, handler.server.content[1:], Content_Range=f"bytes 1-{size - 1}/{size}")


def claiming(extra: int) -> Answer:
    """Return an answer whose size is a lie."""

    def lie(handler: ReleaseHandler) -> None:
        handler.answer(200, handler.server.content, Content_Length=len(handler.server.content) + extra)

    return lie


def refusing(code: int) -> Answer:
    """Return an answer that is an error's."""
    return lambda handler: handler.answer(code)


def redirecting(url: str) -> Answer:
    """Return an answer that sends the caller elsewhere."""
    return lambda handler: handler.answer(302, Location=url)
