"""A store has one owner, and the lease says who."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from facegrid.domain.errors import LeaderUnavailable
from facegrid.storage.objects.lease import StoreInUse, StoreLease
from facegrid.storage.objects.store import ObjectStore
from storage.making import DyingStore

LIFE_S = 2.0
MakeLease = Callable[..., StoreLease]


class FlakyStore(DyingStore):
    """A store that can be made to fail: before its writes, or after them, as when an answer is lost."""

    failing = forgetting = False

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write, unless it fails first."""
        if self.failing:
            raise OSError("gone")
        written = self._store.put_if_absent(key, data)
        if self.forgetting:
            self.forgetting = False
            raise OSError("the answer was lost")
        return written

    def delete(self, key: str) -> None:
        """Remove."""
        self._store.delete(key)


@pytest.fixture
def flaky(store: ObjectStore) -> FlakyStore:
    """Make a store that works so far."""
    return FlakyStore(store, writes=0)


@pytest.fixture
def make_lease(store: ObjectStore) -> Iterator[MakeLease]:
    """Yield a function that makes leases of the store, each of a place of its own, to be closed at last."""
    with ExitStack() as stack:
        made: list[str] = []

        def make(place: str = "", on: ObjectStore = store, lost: list[str] | None = None) -> StoreLease:
            made.append(place)
            heirs = [] if lost is None else lost
            lease = StoreLease(on, place or f"place-{len(made)}", heirs.append, LIFE_S)
            stack.callback(lease.close)
            return lease

        yield make


def die(lease: StoreLease) -> None:
    """End a holder as kill -9 does: it renews no more, and releases nothing."""
    lease._closing.set()
    lease._renewing.join()
    lease._generation = 0


def wait_for(condition: Callable[[], object]) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def may_write(lease: StoreLease) -> bool:
    """Say whether a holder is told that it may write."""
    with suppress(OSError):
        lease.check()
        return True
    return False


def test_a_second_server_is_told_who_the_first_is(make_lease: MakeLease) -> None:
    """As long as the holder renews, others are refused, with its address once that is known."""
    first = make_lease()
    first.acquire()
    first.announce("localhost:50051")
    with pytest.raises(StoreInUse, match=r"in use by .* \(process \d+ on .+\)"):
        make_lease().acquire()
    with pytest.raises(StoreInUse, match="the server at localhost:50051"):
        make_lease().acquire()
    first.check()


def test_a_released_lease_is_free(make_lease: MakeLease) -> None:
    """One server after the other may own the store."""
    for _ in range(3):
        lease = make_lease()
        lease.acquire()
        lease.check()
        lease.close()


def test_the_lease_of_the_dead_is_taken_over(make_lease: MakeLease) -> None:
    """A holder that renews no more loses it after its life."""
    first, second = make_lease(), make_lease()
    first.acquire()
    die(first)
    second.acquire()
    second.check()


def test_a_restart_in_the_same_place_does_not_wait(make_lease: MakeLease) -> None:
    """Whoever holds the same data folder's lock knows that the holder is dead."""
    first, second = make_lease("here"), make_lease("here")
    first.acquire()
    die(first)
    second.acquire()
    assert second._generation == 2


def test_a_holder_that_was_taken_for_dead_is_stopped(make_lease: MakeLease, flaky: FlakyStore) -> None:
    """While it can't renew it may not write; when it can again and another has the lease, it learns so."""
    heirs: list[str] = []
    first, second = make_lease(on=flaky, lost=heirs), make_lease()
    first.acquire()
    flaky.failing = True
    second.acquire()
    with pytest.raises(OSError, match="could not be renewed"):
        first.check()
    flaky.failing = False
    wait_for(lambda: heirs)
    with pytest.raises(LeaderUnavailable):
        first.check()
    second.check()


def test_an_outage_ends_by_itself(make_lease: MakeLease, flaky: FlakyStore) -> None:
    """A holder that nobody replaced goes on when the store is back."""
    lease = make_lease(on=flaky)
    lease.acquire()
    flaky.failing = True
    wait_for(lambda: not may_write(lease))
    flaky.failing = False
    wait_for(lambda: may_write(lease))


def test_a_renewal_whose_answer_was_lost_is_known_again(make_lease: MakeLease, flaky: FlakyStore) -> None:
    """The generation that is there is the holder's own, so it goes on from it."""
    lease = make_lease(on=flaky)
    lease.acquire()
    flaky.forgetting = True
    wait_for(lambda: not flaky.forgetting)
    renewed = lease._renewed
    wait_for(lambda: lease._renewed > renewed)
    lease.check()


def test_of_many_contenders_one_wins(make_lease: MakeLease) -> None:
    """Others are refused, whatever the order."""

    def contend(lease: StoreLease) -> bool:
        try:
            lease.acquire()
        except StoreInUse:
            return False
        return True

    leases = [make_lease() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(contend, leases))
    assert won.count(True) == 1
    leases[won.index(True)].check()


def test_an_old_generation_written_again_wins_nothing(make_lease: MakeLease, store: ObjectStore) -> None:
    """Who was asleep between looking and writing sees that the lease went on."""
    holder, sleeper = make_lease(), make_lease()
    holder.acquire()
    wait_for(lambda: holder._generation >= 4)
    assert "lease/0000000000000002.json" not in list(store.keys("lease/"))
    assert not sleeper._write(2, sleeper._holder)
    wait_for(lambda: len(list(store.keys("lease/"))) == 1)
    holder.check()
