"""A connection that fails as networks do: it stalls, breaks off, or delivers something else."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

_CHUNK = 65536


class TcpProxy:
    """Passes bytes between clients of `port` and a server on loopback.

    `answer` may change what the server sends, chunk by chunk; where it returns b"" the connection breaks.
    """

    def __init__(self, target: int) -> None:
        """Listen on a free port."""
        self.answer: Callable[[bytes], bytes] = bytes
        self._target, self._flowing = target, threading.Event()
        self._flowing.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = [self._listener]
        self._start(self._accept)

    def stall(self) -> None:
        """Deliver nothing from now on, and keep the connections."""
        self._flowing.clear()

    def flow(self) -> None:
        """Deliver again."""
        self._flowing.set()

    def close(self) -> None:
        """Break all connections and end the threads."""
        self._flowing.set()
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                self._start(partial(self._pump, client, server, bytes))
                self._start(partial(self._pump, server, client, self._changed))

    def _changed(self, data: bytes) -> bytes:
        return self.answer(data)

    def _pump(self, source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes]) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                self._flowing.wait()
                if not (data := change(data)):
                    break
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _start(self, work: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=work, daemon=True))
        self._threads[-1].start()


@contextmanager
def proxied(target: int) -> Iterator[TcpProxy]:
    """Run a proxy of a port."""
    proxy = TcpProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
