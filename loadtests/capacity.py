"""How many replicas and nodes some photographs a second take: a model, held against this machine.

    python loadtests/capacity.py [--rate 1000] [--faces 1] [--gpu-detect-ms MS --gpu-embed-ms MS]

First the application runs on Ray here, and each tier's CPU seconds a photograph are read from its processes
under load: transport, decoding and Python are in them. The model then says what the machine should give at
most, and how long calls should wait at a part of that; both are measured as well, and stand beside it.

Assumptions, all of which favour nobody but should be known:
- Cores are like this machine's, and no cache, memory bus or clock is shared badly: costs add up. A replica
  uses one core (num_cpus 1). Each node runs Ray's own processes, at what they take here.
- Calls arrive by chance (Poisson) and go to the first replica that is free.
- Cores are loaded to 70 % at most: the rest is for what dies, drains or starts, and for arrivals in bursts.
- The photograph is a 512 x 512 JPEG with one face, whose models are the open pack's. Larger ones cost more
  decoding; every further face costs the Embedder alone what the first did.
- On a GPU node a photograph takes the milliseconds of the GPU that you give, and the CPU seconds of decoding,
  quality, crops and transport remain. This project has measured no GPU: those rows are yours to feed.
"""

import argparse
import asyncio
import heapq
import math
import os
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import grpc
from rich.console import Console
from rich.table import Table

from facegrid.serving.packs import build_open_pack
from facegrid.v1 import types_pb2 as pb
from facegrid.v1.face_service_pb2 import ExtractRequest
from facegrid.v1.face_service_pb2_grpc import FaceServiceStub
from on_ray import ADDRESS, configuration, family, portrait, running, timed
from open_loop import Step, due_times, run_step
from stages import Stages

_TARGET = 0.7
_CALLERS, _IDLE_S, _STEP_S, _WARM = 16, 5.0, 20.0, 48
_TIERS = ("Gateway", "Detector", "Embedder")
_TICKS = os.sysconf("SC_CLK_TCK")
_SIMULATED = 20_000


@dataclass(frozen=True, slots=True)
class Profile:
    """CPU seconds a photograph of each tier and of Ray's own processes, and cores that are busy when idle."""

    tiers: dict[str, float]
    ray: float
    idle_cores: float

    @property
    def whole(self) -> float:
        """All that a photograph takes."""
        return sum(self.tiers.values()) + self.ray

    def most(self, cores: int) -> float:
        """Return the photographs a second at which so many cores are busy."""
        return (cores - self.idle_cores) / self.whole


def cpu_seconds(root: int) -> dict[str, float]:
    """Return what the processes below one have spent, by tier; the client's own process is none of them."""
    spent = dict.fromkeys((*_TIERS, "Ray"), 0.0)
    for pid in family(root):
        try:
            title = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            stat = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        tier = next((one for one in _TIERS if title.startswith(f"ray::ServeReplica:facegrid:{one}")), "Ray")
        spent[tier] += (int(stat[11]) + int(stat[12])) / _TICKS
    return spent


def measure(root: int, stub: FaceServiceStub, photographs: int) -> tuple[Profile, float]:
    """Return the profile, and the photographs a second that a closed loop gets."""
    request = ExtractRequest(photograph=portrait(), faces=pb.FACE_SELECTION_LARGEST)
    timed(lambda: stub.Extract(request), _WARM, _CALLERS)
    before = cpu_seconds(root)
    time.sleep(_IDLE_S)
    middle = cpu_seconds(root)
    _, wall = timed(lambda: stub.Extract(request), photographs, _CALLERS)
    spent, idle = cpu_seconds(root), (sum(middle.values()) - sum(before.values())) / _IDLE_S
    each = {name: (spent[name] - middle[name]) / photographs for name in (*_TIERS, "Ray")}
    ray = max(0.0, each.pop("Ray") - idle * wall / photographs)
    return Profile(each, ray, idle), photographs / wall


def simulated(service_s: float, rate: float, servers: int) -> list[float]:
    """Return the seconds that calls take where each of some servers does one at a time, in their order."""
    chance, free, now, times = random.Random(0), [0.0] * servers, 0.0, []  # noqa: S311  # arrivals, no secrets
    for _ in range(_SIMULATED):
        now += chance.expovariate(rate)
        start = max(now, heapq.heappop(free))
        heapq.heappush(free, start + service_s)
        times.append(start + service_s - now)
    return times


async def offered(rate: float) -> Step:
    """Return what calls at a rate are answered with."""
    async with grpc.aio.insecure_channel(ADDRESS) as channel:
        stub = FaceServiceStub(channel)
        due = list(due_times(rate, _STEP_S, "poisson"))
        return await run_step(
            lambda one: stub.Extract(ExtractRequest(photograph=one, faces=pb.FACE_SELECTION_LARGEST)),
            [portrait()],
            rate,
            due,
        )


def check(profile: Profile, measured: float, cores: int) -> None:
    """Print the model's figures beside those of this machine."""
    table = Table("on this machine", "model", "measured")
    table.add_row("photographs a second at most", f"{profile.most(cores):.1f}", f"{measured:.1f}")
    for share in (0.3, 0.6):
        rate = share * measured
        step = asyncio.run(offered(rate))
        times = simulated(profile.whole, rate, cores)
        for name, quantile in (("p50", 50), ("p95", 95)):
            expected = 1000 * statistics.quantiles(times, n=100)[quantile - 1]
            got = f"{step.latency_ms(quantile / 100):.0f}"
            table.add_row(f"{name} at {share:.0%} of that, ms", f"{expected:.0f}", got)
    Console().print(table)


def cpu_table(profile: Profile, options: argparse.Namespace) -> Table:
    """Return what each tier takes for the rate, and the nodes for them all."""
    table = Table("", "CPU ms a photograph", f"replicas for {options.rate:g}/s")
    tiers = profile.tiers | {"Embedder": profile.tiers["Embedder"] * options.faces}
    for name, seconds in tiers.items():
        table.add_row(name, f"{1000 * seconds:.1f}", f"{math.ceil(options.rate * seconds / _TARGET)}")
    table.add_row("Ray's own", f"{1000 * profile.ray:.1f}", f"and {profile.idle_cores:.2f} cores a node")
    cores = options.rate * (sum(tiers.values()) + profile.ray) / _TARGET
    nodes = math.ceil(cores / (options.node_cores - profile.idle_cores))
    table.add_row(f"nodes of {options.node_cores} cores", "", f"{nodes}")
    return table


def gpu_table(profile: Profile, left: float, options: argparse.Namespace) -> Table:
    """Return what the rate takes where models run on GPUs; `left` is what remains of the Detector's CPU."""
    detect, embed = options.gpu_detect_ms / 1000, options.faces * options.gpu_embed_ms / 1000
    gpus = options.rate * (detect + embed) / _TARGET
    seconds = profile.tiers["Gateway"] + left * profile.tiers["Detector"] + profile.ray
    cores = options.rate * seconds / _TARGET
    table = Table("with GPUs, at the milliseconds given", f"for {options.rate:g}/s")
    table.add_row("GPUs", f"{gpus:.1f}")
    table.add_row("cores beside them", f"{cores:.1f}")
    table.add_row("cores a GPU, below which they limit it", f"{cores / gpus:.1f}")
    return table


def main() -> None:
    """Measure, check the model and print what the rate takes."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="fgc", dir="/tmp") as folder:  # Ray's sockets need a short path
        build_open_pack(Path(folder, "models"))
        stages = Stages(Path(folder, "models"), "open", 1)
        for _ in range(3):
            stages.run([portrait()] * 4)
        flags = ["--ray", str(configuration(Path(folder)))]
        with running(Path(folder), flags) as server, grpc.insecure_channel(ADDRESS) as channel:
            profile, measured = measure(server.process.pid, FaceServiceStub(channel), options.photographs)
            check(profile, measured, len(os.sched_getaffinity(0)))
    Console().print(cpu_table(profile, options))
    if options.gpu_detect_ms and options.gpu_embed_ms:
        Console().print(gpu_table(profile, stages.share_without_models(), options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=1000, help="photographs a second")
    parser.add_argument("--faces", type=float, default=1, help="faces a photograph that are embedded")
    parser.add_argument("--node-cores", type=int, default=16)
    parser.add_argument("--gpu-detect-ms", type=float, help="milliseconds of a GPU for a photograph")
    parser.add_argument("--gpu-embed-ms", type=float, help="milliseconds of a GPU for a face")
    parser.add_argument("--photographs", type=int, default=320, help="measured ones")
    return parser.parse_args()


if __name__ == "__main__":
    main()
