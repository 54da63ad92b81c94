"""The micro-batcher gathers while a batch runs, waits for nothing when idle, and mixes nothing up."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from facegrid.domain.errors import Overloaded
from facegrid.vision.batching import MicroBatcher


class GatedModel:
    """Doubles numbers, once the test opens the gate; 13 is bad, and so is its whole batch."""

    def __init__(self) -> None:
        """Start with the gate open."""
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def run(self, items: list[int]) -> list[int]:
        """Note the batch, wait at the gate, double."""
        self.batches.append(items)
        self.entered.set()
        self.gate.wait(10)
        if 13 in items:
            raise ValueError("13")
        return [2 * item for item in items]


@pytest.fixture
def model() -> GatedModel:
    """Return the fake model."""
    return GatedModel()


@pytest.fixture
async def executor(model: GatedModel) -> AsyncIterator[ThreadPoolExecutor]:
    """Yield one thread."""
    pool = ThreadPoolExecutor(1)
    yield pool
    model.gate.set()
    pool.shutdown()


Make = Callable[..., MicroBatcher[int, int]]


@pytest.fixture
def make(model: GatedModel, executor: ThreadPoolExecutor) -> Make:
    """Return a maker of batchers over the fake model."""

    def made(
        max_batch: int = 4, max_queue: int = 100, **options: Callable[[int], object]
    ) -> MicroBatcher[int, int]:
        return MicroBatcher(model.run, max_batch=max_batch, max_queue=max_queue, executor=executor, **options)

    return made


async def blocked(batcher: MicroBatcher[int, int], model: GatedModel) -> "asyncio.Task[list[int]]":
    """Return a call whose batch stands at the closed gate."""
    model.gate.clear()
    model.entered.clear()
    call = asyncio.create_task(batcher([0]))
    await asyncio.to_thread(model.entered.wait, 10)
    return call


async def calls(batcher: MicroBatcher[int, int], *items: int) -> "list[asyncio.Task[list[int]]]":
    """Return a call for each item, all of which wait."""
    tasks = [asyncio.create_task(batcher([item])) for item in items]
    await asyncio.sleep(0)
    return tasks


async def test_idle_calls_do_not_wait(make: Make, model: GatedModel) -> None:
    """Calls one after the other run at once, each as a batch of its own."""
    batcher = make()
    assert [await batcher([number]) for number in (1, 2, 3)] == [[2], [4], [6]]
    assert model.batches == [[1], [2], [3]]


async def test_calls_gather_while_a_batch_runs(make: Make, model: GatedModel) -> None:
    """What comes meanwhile goes in arrival order into as few batches as the limit allows."""
    batcher = make(max_batch=4)
    first = await blocked(batcher, model)
    others = await calls(batcher, *range(1, 7))
    model.gate.set()
    assert await asyncio.gather(first, *others) == [[2 * item] for item in range(7)]
    assert model.batches == [[0], [1, 2, 3, 4], [5, 6]]


async def test_call_of_many_items(make: Make, model: GatedModel) -> None:
    """A call may bring more than a batch, and none at all."""
    batcher = make(max_batch=4)
    assert await batcher(list(range(10))) == [2 * item for item in range(10)]
    assert [len(batch) for batch in model.batches] == [4, 4, 2]
    assert await batcher([]) == []


async def test_buckets(make: Make, model: GatedModel) -> None:
    """Only items of one bucket share a batch; the oldest item's bucket goes first."""
    batcher = make(bucket=lambda item: item % 2)
    first = await blocked(batcher, model)
    others = await calls(batcher, 1, 2, 3, 4)
    model.gate.set()
    assert await asyncio.gather(first, *others) == [[0], [2], [4], [6], [8]]
    assert model.batches == [[0], [1, 3], [2, 4]]


async def test_bad_item_fails_alone(make: Make, model: GatedModel) -> None:
    """A batch that fails is run again item by item, and only the bad one's caller gets the error."""
    batcher = make()
    first = await blocked(batcher, model)
    others = await calls(batcher, 1, 13, 2)
    model.gate.set()
    outcomes = await asyncio.gather(first, *others, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["[0]", "[2]", "13", "[4]"]
    assert model.batches == [[0], [1, 13, 2], [1], [13], [2]]


async def test_exception_as_outcome(executor: ThreadPoolExecutor) -> None:
    """An error that `run` returns in an item's place is raised to its caller, and nothing runs again."""
    runs = []

    def run(items: list[int]) -> list[int | Exception]:
        runs.append(items)
        return [ValueError("odd") if item % 2 else item for item in items]

    batcher = MicroBatcher[int, int](run, max_batch=4, max_queue=8, executor=executor)
    with pytest.raises(ValueError, match="odd"):
        await batcher([2, 3])
    assert runs == [[2, 3]]


async def test_cancelled_call_never_runs(make: Make, model: GatedModel) -> None:
    """What waits of a cancelled caller is dropped, and its neighbours run."""
    batcher = make()
    first = await blocked(batcher, model)
    one, gone, other = await calls(batcher, 1, 2, 3)
    gone.cancel()
    await asyncio.wait([gone])
    model.gate.set()
    assert await asyncio.gather(first, one, other) == [[0], [2], [6]]
    assert gone.cancelled()
    assert model.batches == [[0], [1, 3]]


async def test_cancelled_while_running(make: Make, model: GatedModel) -> None:
    """A caller that goes while its batch runs leaves the batcher in order."""
    batcher = make()
    first = await blocked(batcher, model)
    first.cancel()
    await asyncio.wait([first])
    model.gate.set()
    assert await batcher([5]) == [10]


async def test_overload(make: Make, model: GatedModel) -> None:
    """Beyond the queue's limit a call is refused at once; those that wait are served."""
    batcher = make(max_queue=2)
    first = await blocked(batcher, model)
    waiting = await calls(batcher, 1, 2)
    with pytest.raises(Overloaded, match="2 pictures wait"):
        await batcher([3])
    waiting[1].cancel()
    await asyncio.wait([waiting[1]])
    (late,) = await calls(batcher, 4)
    model.gate.set()
    assert await asyncio.gather(first, waiting[0], late) == [[0], [2], [8]]


async def test_large_call_into_an_empty_queue(make: Make) -> None:
    """A single call is never refused for its size, as it could not succeed later either."""
    assert await make(max_queue=2)([1, 2, 3, 4, 5]) == [2, 4, 6, 8, 10]


async def test_run_that_answers_too_little(executor: ThreadPoolExecutor) -> None:
    """A model that returns another number of results than items is an error, not a mix-up."""
    batcher = MicroBatcher[int, int](lambda _: [1, 2], max_batch=4, max_queue=8, executor=executor)
    with pytest.raises(ValueError, match="zip"):
        await batcher([1])


async def test_shutdown_lets_go_of_callers(
    make: Make, model: GatedModel, executor: ThreadPoolExecutor
) -> None:
    """Callers whose items will never run are cancelled, and later ones refused."""
    batcher = make()
    first = await blocked(batcher, model)
    (waiting,) = await calls(batcher, 1)
    executor.shutdown(wait=False, cancel_futures=True)
    model.gate.set()
    assert await first == [0]
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(RuntimeError, match="shutdown"):
        await batcher([2])


async def test_many_callers_and_threads(model: GatedModel) -> None:
    """Under load from many callers on several threads each gets its own results."""
    with ThreadPoolExecutor(4) as pool:
        batcher = MicroBatcher[int, int](model.run, max_batch=8, max_queue=10_000, executor=pool)
        numbers = [[number, number + 1] for number in range(100, 1100)]
        found = await asyncio.gather(*(batcher(pair) for pair in numbers))
    assert found == [[2 * item for item in pair] for pair in numbers]
    assert max(len(batch) for batch in model.batches) == 8
