"""How long a client tries again where a server is away, or has too much to do or too little room."""

import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import grpc

from facegrid.client.errors import CallFailed

T = TypeVar("T")
_FULL = {"OVERLOADED", "STORAGE_FULL"}
_FIRST_S, _LONGEST_S = 0.5, 30.0


class Patience:
    """Tries calls again, ever later, for `patience_s` after the last success; it may be told to stop."""

    def __init__(self, patience_s: float = 300) -> None:
        """Take the seconds after which a failure counts."""
        self._patience_s = patience_s
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let the next failure count."""
        self._stopping.set()

    def __call__(self, call: Callable[[], T]) -> T:
        """Return what a call answers that may be made again. Raises CallFailed."""
        for _ in self.tries():
            try:
                return call()
            except CallFailed as failure:
                last = failure
                if not is_passing(failure):
                    break
        raise last

    def tries(self) -> Iterator[int]:
        """Yield the numbers of the tries that remain, each after a pause."""
        pause, number, waited = _FIRST_S, 0, 0.0
        yield number
        while waited < self._patience_s and not self._stopping.wait(pause):
            waited, number, pause = waited + pause, number + 1, min(2 * pause, _LONGEST_S)
            yield number


def is_passing(failure: CallFailed) -> bool:
    """Say whether the same call may succeed later."""
    return failure.code is grpc.StatusCode.UNAVAILABLE or failure.reason in _FULL
