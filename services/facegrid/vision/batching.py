"""Gathers the calls of many requests into batches for one model."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

from facegrid.domain.errors import Overloaded

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(slots=True, eq=False)
class _Entry(Generic[_Item, _Result]):
    """An item that waits, and where its result goes."""

    item: _Item
    bucket: Hashable
    result: asyncio.Future[_Result]

    def settle(self, outcome: _Result | Exception) -> None:
        """Hand over the outcome from a thread, unless the caller has gone."""
        self.result.get_loop().call_soon_threadsafe(_settle, self.result, outcome)

    def follow(self, ticket: "Future[None]") -> None:
        """Let go of the caller where the executor was shut down before the ticket's turn."""
        if ticket.cancelled():
            self.result.get_loop().call_soon_threadsafe(self.result.cancel)


class MicroBatcher(Generic[_Item, _Result]):
    """Runs items in batches, without a timer.

    Each item puts one ticket into the executor. A ticket, once a thread is free for it, runs the oldest
    item that waits and those of the same bucket that wait with it. So the first item of an idle server
    runs at once and alone; while all threads are busy the next items gather, as many as arrive in that
    time; a ticket whose item went with an earlier batch finds nothing and ends. The wait follows the
    arrival rate by itself: a timer would only hold up a thread that could run.
    """

    def __init__(
        self,
        run: Callable[[list[_Item]], Sequence[_Result | Exception]],
        *,
        max_batch: int,
        max_queue: int,
        executor: Executor,
        bucket: Callable[[_Item], Hashable] = lambda _: None,
    ) -> None:
        """Give `run` up to `max_batch` items of one bucket, such as one input shape.

        `run` returns one outcome for each item, in order; an exception among them is raised to its
        caller alone. If `run` itself raises, the batch's items are run one by one.
        """
        self._run, self._bucket, self._executor = run, bucket, executor
        self._max_batch, self._max_queue = max_batch, max_queue
        self._waiting: list[_Entry[_Item, _Result]] = []
        self._lock = Lock()

    async def __call__(self, items: Sequence[_Item]) -> list[_Result]:
        """Return the result of each item; batches may mix the items of several callers.

        Raises what a bad item raises, and Overloaded where others wait and these would make it more than
        `max_queue`; alone, a caller may bring any number. What waits of a cancelled caller never runs.
        """
        loop = asyncio.get_running_loop()
        entries = [_Entry[_Item, _Result](item, self._bucket(item), loop.create_future()) for item in items]
        self._enqueue(entries)
        try:
            for entry in entries:
                self._executor.submit(self._run_batch).add_done_callback(entry.follow)
            return await asyncio.gather(*(entry.result for entry in entries))
        finally:
            self._withdraw(entries)

    def _enqueue(self, entries: list[_Entry[_Item, _Result]]) -> None:
        with self._lock:
            if self._waiting and len(self._waiting) + len(entries) > self._max_queue:
                raise Overloaded(f"{len(self._waiting)} pictures wait for a model; retry after a moment")
            self._waiting += entries

    def _withdraw(self, entries: list[_Entry[_Item, _Result]]) -> None:
        """Forget what has not run: nothing, unless the caller was cancelled or one of its items was bad."""
        for entry in entries:
            entry.result.cancel()
        gone = set(entries)
        with self._lock:
            self._waiting = [entry for entry in self._waiting if entry not in gone]

    def _run_batch(self) -> None:
        batch = self._take()
        for entry, outcome in zip(batch, self._outcomes([entry.item for entry in batch]), strict=True):
            entry.settle(outcome)

    def _take(self) -> list[_Entry[_Item, _Result]]:
        with self._lock:
            alike = [entry for entry in self._waiting if entry.bucket == self._waiting[0].bucket]
            batch = alike[: self._max_batch]
            taken = set(batch)
            self._waiting = [entry for entry in self._waiting if entry not in taken]
        return batch

    def _outcomes(self, items: list[_Item]) -> list[_Result | Exception]:
        if not items:
            return []
        try:
            return [outcome for _, outcome in zip(items, self._run(items), strict=True)]
        except Exception as error:  # noqa: BLE001  # whatever it is, it belongs to the item's caller
            if len(items) == 1:
                return [error]
        return [outcome for item in items for outcome in self._outcomes([item])]


def _settle(result: asyncio.Future[_Result], outcome: _Result | Exception) -> None:
    if result.done():
        return
    if isinstance(outcome, Exception):
        result.set_exception(outcome)
    else:
        result.set_result(outcome)
