"""Calls that are made again."""

import threading

import grpc
import pytest

from facegrid.client import CallFailed, Patience
from facegrid.client import patience as patience_module

AWAY = CallFailed(grpc.StatusCode.UNAVAILABLE, "", "no server answers")
FULL = CallFailed(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "retry")
BAD = CallFailed(grpc.StatusCode.INVALID_ARGUMENT, "NO_FACE_FOUND", "no face")
LARGE = CallFailed(grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE", "too large")


class Failing:
    """Fails with one error after the other, then answers."""

    def __init__(self, *failures: CallFailed) -> None:
        """Take the failures."""
        self._failures = list(failures)

    def __call__(self) -> str:
        """Fail or answer."""
        if self._failures:
            raise self._failures.pop(0)
        return "done"


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience_module, "_FIRST_S", 0.001)


def test_what_passes_is_waited_for() -> None:
    """A server that is away or full is asked again until it answers."""
    assert Patience()(Failing(AWAY, FULL, AWAY)) == "done"


@pytest.mark.parametrize("failure", [BAD, LARGE])
def test_what_does_not_pass_is_raised_at_once(failure: CallFailed) -> None:
    """The same call would fail again."""
    with pytest.raises(CallFailed) as caught:
        Patience()(Failing(AWAY, failure, AWAY))
    assert caught.value is failure


def test_patience_ends() -> None:
    """The last failure is raised when the time is over."""
    with pytest.raises(CallFailed) as caught:
        Patience(patience_s=0.005)(Failing(*[AWAY] * 20))
    assert caught.value is AWAY


def test_a_pause_ends_when_it_is_told_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who leaves waits for the rest of a pause."""
    monkeypatch.setattr(patience_module, "_FIRST_S", 60)
    patience = Patience()
    threading.Timer(0.05, patience.stop).start()
    with pytest.raises(CallFailed):
        patience(Failing(AWAY))
