"""Calls that arrive at a rate, whatever the server does: latency without co-ordinated omission.

Run with `python loadtests/open_loop.py ADDRESS --rate 5 10 20 [PHOTOGRAPH...]`. Each call has a moment at
which it is due, by the clock or, with `--arrivals poisson`, by chance; its latency counts from there, so a
server that stalls pays for every call that it kept waiting, and not only for the one that it had in hand.
A closed loop, whose callers wait for their answers, would ask less of a slow server and praise it for that.
"""

import argparse
import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import cycle
from pathlib import Path

import grpc
import skimage.data
from PIL import Image
from rich.console import Console
from rich.table import Table

from facegrid.v1 import types_pb2 as pb
from facegrid.v1.face_service_pb2 import DetectRequest, ExtractRequest
from facegrid.v1.face_service_pb2_grpc import FaceServiceStub
from facegrid.v1.identity_service_pb2 import IdentifyRequest
from facegrid.v1.identity_service_pb2_grpc import IdentityServiceStub

Call = Callable[[bytes], Awaitable[object]]
_OK = "OK"


@dataclass(slots=True)
class Step:
    """What one rate gave: seconds from due to answered of the calls that succeeded, and all outcomes."""

    offered: float
    wall_s: float = 0.0
    latencies: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    def latency_ms(self, share: float) -> float:
        """Return a quantile of the latencies, not a number where no call succeeded."""
        ranked = sorted(self.latencies)
        return 1000 * ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else float("nan")

    @property
    def answered(self) -> float:
        """The successful answers a second."""
        return self.outcomes[_OK] / self.wall_s


def due_times(rate: float, seconds: float, arrivals: str, seed: int = 0) -> Iterator[float]:
    """Yield the seconds from the start at which calls are due, evenly or by chance (Poisson)."""
    chance, due = random.Random(seed), 0.0  # noqa: S311  # arrivals, no secrets
    while due < seconds:
        yield due
        due += chance.expovariate(rate) if arrivals == "poisson" else 1 / rate


async def run_step(call: Call, photographs: Sequence[bytes], rate: float, due: Sequence[float]) -> Step:
    """Make each call when it is due and wait for the last answer."""
    step, start = Step(rate), time.perf_counter()

    async def one(photograph: bytes, moment: float) -> None:
        try:
            await call(photograph)
        except grpc.aio.AioRpcError as error:
            step.outcomes[error.code().name] += 1
        else:
            step.outcomes[_OK] += 1
            step.latencies.append(time.perf_counter() - start - moment)

    async with asyncio.TaskGroup() as calls:
        for photograph, moment in zip(cycle(photographs), due, strict=False):
            await asyncio.sleep(max(0.0, start + moment - time.perf_counter()))
            calls.create_task(one(photograph, moment))
    step.wall_s = time.perf_counter() - start
    return step


async def run(options: argparse.Namespace) -> list[Step]:
    """Run a step for each rate, after a few calls that warm the server up."""
    photographs = [path.read_bytes() for path in options.photographs] or [_portrait()]
    async with grpc.aio.insecure_channel(options.address) as channel:
        call = _calls(channel, options)[options.call]
        for photograph in photographs[: options.warm_up]:
            await call(photograph)
        steps = []
        for rate in options.rate:
            due = list(due_times(rate, options.seconds, options.arrivals))
            steps.append(await run_step(call, photographs, rate, due))
    return steps


def _calls(channel: grpc.aio.Channel, options: argparse.Namespace) -> dict[str, Call]:
    faces, identities = FaceServiceStub(channel), IdentityServiceStub(channel)
    timeout, selection = options.deadline, pb.FACE_SELECTION_LARGEST

    def identify(photograph: bytes) -> Awaitable[object]:
        probes = [pb.Sample(photograph=photograph)]
        request = IdentifyRequest(gallery=options.gallery, probes=probes, faces=selection)
        return identities.Identify(request, timeout=timeout)

    return {
        "detect": lambda photograph: faces.Detect(DetectRequest(photograph=photograph), timeout=timeout),
        "extract": lambda photograph: faces.Extract(
            ExtractRequest(photograph=photograph, faces=selection), timeout=timeout
        ),
        "identify": identify,
    }


def _portrait() -> bytes:
    picture = BytesIO()
    Image.fromarray(skimage.data.astronaut()).save(picture, "JPEG", quality=95)
    return picture.getvalue()


def print_steps(steps: Sequence[Step]) -> None:
    """Print a row for each rate."""
    table = Table("offered /s", "answered /s", "p50 ms", "p95 ms", "p99 ms", "longest ms", "not answered")
    for step in steps:
        failed = {code: count for code, count in step.outcomes.items() if code != _OK}
        quantiles = (f"{step.latency_ms(share):.0f}" for share in (0.5, 0.95, 0.99, 1.0))
        described = ", ".join(f"{code} {count}" for code, count in failed.items()) or "-"
        table.add_row(f"{step.offered:g}", f"{step.answered:.1f}", *quantiles, described)
    Console().print(table)
    spread = [len(step.latencies) for step in steps]
    Console().print(f"{sum(spread)} calls answered, {statistics.median(spread):.0f} a step in the median")


def main() -> None:
    """Take the arguments, run the steps and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("photographs", nargs="*", type=Path, help="a portrait that scikit-image brings")
    parser.add_argument("--rate", type=float, nargs="+", default=[5.0], help="calls a second, a step each")
    parser.add_argument("--seconds", type=float, default=20, help="length of a step")
    parser.add_argument("--arrivals", choices=["constant", "poisson"], default="constant")
    parser.add_argument("--call", choices=["detect", "extract", "identify"], default="extract")
    parser.add_argument("--gallery", default="", help="gallery for identify")
    parser.add_argument("--deadline", type=float, default=30, help="seconds that a call may take")
    parser.add_argument("--warm-up", type=int, default=4, help="photographs sent before the first step")
    print_steps(asyncio.run(run(parser.parse_args())))


if __name__ == "__main__":
    main()
