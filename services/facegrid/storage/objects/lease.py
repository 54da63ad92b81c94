"""One server a store: a lease that its holder renews, made of conditional writes alone."""

import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from errno import EIO
from uuid import uuid4

from facegrid.domain.errors import ConfigurationError, LeaderUnavailable
from facegrid.storage.objects.forms import Form, read, to_json
from facegrid.storage.objects.store import ObjectMissing, ObjectStore

_PREFIX = "lease/"
_DIGITS = 16
_RENEWALS_A_LIFE, _LOOKS_A_LIFE = 6, 24
_LIFE_OF_WRITES = 3


class StoreInUse(ConfigurationError):
    """Another server holds the store; the message, for operators, says which."""


@dataclass(frozen=True, slots=True)
class _Holder:
    """Who wrote a generation of the lease. No two processes with the same `place` live at once."""

    token: str
    place: str
    host: str
    pid: int
    address: str = ""
    released: bool = False

    def __str__(self) -> str:
        """Return the name for operators."""
        role = f"the server at {self.address}" if self.address else "another command"
        return f"{role} (process {self.pid} on {self.host})"


class StoreLease:
    """The right to write to a store, held by one process at a time.

    Each renewal writes the next generation, `lease/<number>.json`, by conditional write, and who wrote the
    highest one holds the lease. So whoever takes it over makes the former holder's next renewal fail. Others
    take it over when they have seen no renewal for a whole life, by their own clock: clocks need not agree,
    only run at one speed, and all servers of a store must give it one life. From a third of a life after its
    last renewal a holder is told not to write, which leaves a request under way two thirds to end. Not
    covered: a virtual machine stopped between that check and its write, and a server that carries out a write
    later than it refused or dropped it.
    """

    def __init__(self, store: ObjectStore, place: str, on_lost: Callable[[str], None], life_s: float) -> None:
        """Take the store, what to call with the new holder's name when the lease is lost, and its life.

        `place` is the same for two processes only where the one must have ended for the other to run.
        """
        self._store, self._on_lost, self._life_s = store, on_lost, life_s
        self._holder = _Holder(uuid4().hex, place, socket.gethostname(), os.getpid())
        self._generation, self._renewed = 0, 0.0
        self._lost, self._failed = "", EIO
        self._closing, self._hurry = threading.Event(), threading.Event()
        self._renewing = threading.Thread(target=self._keep, name="lease", daemon=True)

    def acquire(self) -> None:
        """Take the lease, and renew it until it is closed. Raises StoreInUse.

        Waits for a renewal, a sixth of a life, where another holds it, and a whole one where that one died.
        """
        generation, holder = self._latest()
        if holder and not holder.released and holder.place != self._holder.place:
            generation = self._wait_for_end(generation)
        if not self._write(generation + 1, self._holder):
            raise _in_use(self._latest()[1])
        self._renewing.start()

    def succeed(self, heed: Callable[[str], None]) -> bool:
        """Wait, however long, until the lease is ours; False where it is closed before.

        `heed` is told each holder's address, empty while there is none. Where the store fails, the wait for
        the holder's end begins anew: it could not renew either.
        """
        last: tuple[int, _Holder | None] = (0, None)
        since, told = _now(), ""
        while not self._closing.is_set():
            try:
                if last != (latest := self._latest()):
                    last, since = latest, _now()
                generation, holder = latest
                ended = holder is None or holder.released or _now() > since + self._life_s
                address = "" if ended or holder is None else holder.address
                if address != told:
                    told = address
                    heed(address)
                if ended and self._write(generation + 1, self._holder):
                    self._renewing.start()
                    return True
            except (OSError, ConfigurationError):
                since = _now()
            self._closing.wait(self._life_s / _LOOKS_A_LIFE)
        return False

    def announce(self, address: str) -> None:
        """Say with a renewal, at once where the lease is ours, at which address others reach this process."""
        self._holder = replace(self._holder, address=address)
        self._hurry.set()

    def check(self) -> None:
        """Raise LeaderUnavailable where the lease is lost, and OSError where it may be soon."""
        if self._lost:
            raise LeaderUnavailable("another server has taken over from this one; retry in a moment")
        if _now() > self._renewed + self._life_s / _LIFE_OF_WRITES:
            raise OSError(self._failed, "the lease could not be renewed")

    def close(self) -> None:
        """Let the next one have the lease at once. Raises OSError where the store fails."""
        self._closing.set()
        self._hurry.set()
        if self._renewing.is_alive():
            self._renewing.join()
        if not self._lost and self._generation:
            self._write(self._generation + 1, replace(self._holder, released=True))

    def _wait_for_end(self, generation: int) -> int:
        """Return the last generation of a holder that ended. Raises StoreInUse where it renews its lease."""
        deadline = _now() + self._life_s
        while _now() < deadline:
            self._closing.wait(self._life_s / _LOOKS_A_LIFE)
            latest, holder = self._latest()
            if holder and holder.released:
                return latest
            if latest != generation:
                raise _in_use(holder)
        return generation

    def _keep(self) -> None:
        pause = self._life_s / _RENEWALS_A_LIFE
        while True:
            self._hurry.wait(pause)
            self._hurry.clear()
            if self._closing.is_set():
                break
            try:
                if self._write(self._generation + 1, self._holder):
                    continue
                self._lost = str(self._latest()[1])
            except (OSError, ConfigurationError) as error:
                self._failed = getattr(error, "errno", None) or EIO
                continue
            self._on_lost(self._lost)
            break

    def _write(self, generation: int, holder: _Holder) -> bool:
        """Write a generation; say whether it is the highest one and ours."""
        began = _now()
        written = self._store.put_if_absent(_key(generation), to_json(asdict(holder)))
        latest, now_held_by = self._latest()
        if now_held_by is None or now_held_by.token != holder.token:
            return False
        self._generation = latest
        if not written:  # by an earlier try, whose answer did not arrive: nothing says when
            return self._write(latest + 1, holder)
        self._renewed = began
        for key in self._store.keys(_PREFIX):
            if key < _key(latest):
                self._store.delete(key)
        return True

    def _latest(self) -> tuple[int, _Holder | None]:
        while keys := list(self._store.keys(_PREFIX)):
            try:
                return int(keys[-1][len(_PREFIX) :].partition(".")[0]), read(self._store, keys[-1], _parse)
            except ObjectMissing:
                continue  # renewed meanwhile
        return 0, None


def _now() -> float:
    """Return the seconds since boot, those asleep among them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _key(generation: int) -> str:
    return f"{_PREFIX}{generation:0{_DIGITS}}.json"


def _in_use(holder: _Holder | None) -> StoreInUse:
    return StoreInUse(f"the store is in use by {holder}; call that server, or stop it first")


def _parse(form: Form) -> _Holder:
    return _Holder(form["token"], form["place"], form["host"], form["pid"], form["address"], form["released"])
