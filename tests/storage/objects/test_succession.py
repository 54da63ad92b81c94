"""Who follows the holder of a lease: what it learns, and when it takes its place."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from facegrid.storage.objects.lease import StoreLease
from storage.making import MemoryStore
from storage.objects.test_lease import LIFE_S, die, wait_for


class FailingStore(MemoryStore):
    """A store that fails when it is told to."""

    failing = False

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """List, or fail."""
        if self.failing:
            raise OSError
        return super().keys(prefix, after)


class Follower:
    """A process that waits for a lease in a thread."""

    def __init__(self, store: MemoryStore, place: str) -> None:
        """Begin to wait."""
        self.lease = StoreLease(store, place, lambda _: None, LIFE_S)
        self.lease.announce(f"{place}:1")
        self.leaders: list[str] = []
        self.leads: bool | None = None
        self._waiting = threading.Thread(target=self._wait)
        self._waiting.start()

    def _wait(self) -> None:
        self.leads = self.lease.succeed(self.leaders.append)

    def close(self) -> None:
        """Wait no more."""
        self.lease.close()
        self._waiting.join()


@pytest.fixture
def store() -> FailingStore:
    """Make an empty store."""
    return FailingStore()


@pytest.fixture
def leader(store: FailingStore) -> Iterator[StoreLease]:
    """Hold the lease."""
    lease = StoreLease(store, "leader", lambda _: None, LIFE_S)
    lease.acquire()
    yield lease
    lease.close()


@pytest.fixture
def follow(store: FailingStore) -> Iterator[Callable[[str], Follower]]:
    """Yield a function that starts a follower."""
    with ExitStack() as stack:

        def start(place: str) -> Follower:
            made = Follower(store, place)
            stack.callback(made.close)
            return made

        yield start


def test_a_follower_learns_the_leaders_address(leader: StoreLease, follow: Callable[[str], Follower]) -> None:
    """As soon as the leader says it, which is before its next renewal is due."""
    follower = follow("b")
    leader.announce("a:1")
    wait_for(lambda: follower.leaders == ["a:1"])
    assert follower.leads is None


def test_of_several_followers_one_takes_the_place_of_the_dead(
    leader: StoreLease, follow: Callable[[str], Follower]
) -> None:
    """The others learn its address."""
    leader.announce("a:1")
    followers = [follow("b"), follow("c")]
    wait_for(lambda: all(one.leaders == ["a:1"] for one in followers))
    die(leader)
    wait_for(lambda: any(one.leads for one in followers))
    (heir,) = (one for one in followers if one.leads)
    (other,) = (one for one in followers if not one.leads)
    wait_for(lambda: other.leaders[-1] == f"{heir.lease._holder.place}:1")
    heir.lease.check()


def test_a_lease_that_is_given_back_is_taken_at_once(
    leader: StoreLease, follow: Callable[[str], Follower]
) -> None:
    """Nobody waits for its end."""
    follower = follow("b")
    leader.close()
    wait_for(lambda: follower.leads)
    follower.lease.check()


def test_an_outage_of_the_store_makes_no_leader(
    leader: StoreLease, store: FailingStore, follow: Callable[[str], Follower]
) -> None:
    """Neither could reach it, so the leader has a whole life to renew its lease when it is back."""
    follower = follow("b")
    store.failing = True
    threading.Event().wait(2 * LIFE_S)
    store.failing = False
    threading.Event().wait(LIFE_S / 2)
    assert follower.leads is None
    leader.check()


def test_a_follower_that_ends_leads_nobody(leader: StoreLease, follow: Callable[[str], Follower]) -> None:
    """And leaves the lease alone."""
    follower = follow("b")
    follower.close()
    assert follower.leads is False
    leader.check()
