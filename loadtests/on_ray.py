"""One process against Ray on the same machine, in turn: photographs a second, latency, memory, time to ready.

Run with `make bench-ray`, or `python loadtests/on_ray.py [--rounds N] [--photographs N]`. Both run the open
pack on a JPEG of 100 kB. On Ray two detectors and one embedder share this machine with the gateway. A call to
a tier costs what 100 kB cost which are no photograph: the detector refuses them before any model runs.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import grpc
import numpy as np
import skimage.data
import yaml
from PIL import Image

from facegrid.serving.packs import build_open_pack
from facegrid.v1.face_service_pb2 import DetectRequest, ExtractRequest
from facegrid.v1.face_service_pb2_grpc import FaceServiceStub

_CALLERS = (1, 4, 16)
ADDRESS = "127.0.0.1:50099"
_READY_S = 180
_SERVE = Path(__file__).parents[1] / "deploy" / "serve.yaml"


@dataclass(frozen=True)
class Server:
    """A server that runs, and how long it took until it answered."""

    process: subprocess.Popen[bytes]
    ready_s: float

    def memory_mib(self) -> float:
        """Return what all its processes hold, shared pages counted once."""
        kib = 0
        for pid in family(self.process.pid):
            with suppress(OSError):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8")
                kib += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        return kib / 1024


def main() -> None:
    """Measure both runtimes, round by round, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photographs", type=int, default=160, help="a measurement")
    options = parser.parse_args()
    rows: dict[tuple[str, str], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="fgb", dir="/tmp") as folder:  # Ray's sockets need a short path
        build_open_pack(Path(folder, "models"))
        ways = {"one process": [], "Ray": ["--ray", str(configuration(Path(folder)))]}
        for number in range(options.rounds):
            for name, flags in ways.items():
                with running(Path(folder), flags) as server:
                    for what, value in measure(server, options.photographs):
                        rows[what, name].append(value)
                print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr)
    print(f"{'':<34}" + "".join(f"{name:>14}" for name in ways) + f"{'ratio':>8}")
    for what in dict.fromkeys(what for what, _ in rows):
        one, other = (statistics.median(rows[what, name]) for name in ways)
        print(f"{what:<34}{one:>14.1f}{other:>14.1f}{other / one:>8.2f}")


def measure(server: Server, photographs: int) -> Iterator[tuple[str, float]]:
    """Yield what was measured, with its name and unit."""
    yield "from zero to ready, s", server.ready_s
    with grpc.insecure_channel(ADDRESS) as channel:
        stub, photograph = FaceServiceStub(channel), portrait()
        noise = np.random.default_rng(0).bytes(len(photograph))
        timed(lambda: stub.Extract(ExtractRequest(photograph=photograph)), 16, max(_CALLERS))
        times, _ = timed(lambda: _refused(stub, noise), 4 * photographs, 1)
        yield "refused at the detector, p50 ms", 1000 * statistics.median(times)
        for callers in _CALLERS:
            times, wall = timed(
                lambda: stub.Extract(ExtractRequest(photograph=photograph)), photographs, callers
            )
            yield f"Extract, {callers} callers, photographs/s", photographs / wall
            yield f"Extract, {callers} callers, p50 ms", 1000 * statistics.median(times)
            yield f"Extract, {callers} callers, p99 ms", 1000 * statistics.quantiles(times, n=100)[98]
    yield "memory, MiB", server.memory_mib()


def timed(call: Callable[[], object], count: int, callers: int) -> tuple[list[float], float]:
    """Return the seconds of each of `count` calls, and of them all."""

    def one(_: int) -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    start = time.perf_counter()
    with ThreadPoolExecutor(callers) as threads:
        times = list(threads.map(one, range(count)))
    return times, time.perf_counter() - start


@contextmanager
def running(folder: Path, flags: list[str]) -> Iterator[Server]:
    """Run `facegrid serve`, and end it."""
    own = {"FACEGRID_MODELS": str(folder / "models"), "FACEGRID_DATA": str(folder / "data")}
    command = [sys.executable, "-m", "facegrid.cli", "serve", "--listen", ADDRESS, *flags]
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=os.environ | own | {"RAY_TMPDIR": str(folder)}, stderr=subprocess.DEVNULL
    )
    try:
        with grpc.insecure_channel(ADDRESS, [("grpc.max_reconnect_backoff_ms", 500)]) as channel:
            request = ExtractRequest(photograph=portrait())
            FaceServiceStub(channel).Extract(request, wait_for_ready=True, timeout=_READY_S)
        yield Server(process, time.perf_counter() - start)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _refused(stub: FaceServiceStub, noise: bytes) -> None:
    with suppress(grpc.RpcError):
        stub.Detect(DetectRequest(photograph=noise))


def configuration(folder: Path) -> Path:
    """Write deploy/serve.yaml with two detectors that fit two cores."""
    config = yaml.safe_load(_SERVE.read_text("utf-8"))
    for one in config["applications"][0]["deployments"]:
        if one["name"] == "Detector":
            one["ray_actor_options"] = {"num_cpus": 0.7}
            one["autoscaling_config"]["min_replicas"] = 2
    path = folder / "serve.yaml"
    path.write_text(yaml.safe_dump(config), "utf-8")
    return path


def portrait() -> bytes:
    """Return a JPEG of a face."""
    picture = BytesIO()
    Image.fromarray(skimage.data.astronaut()).save(picture, "JPEG", quality=95)
    return picture.getvalue()


def family(pid: int) -> list[int]:
    """Return a process and all below it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text("utf-8").rpartition(")")[2].split()[1])
    family = [pid]
    for one in family:
        family += [child for child, parent in parents.items() if parent == one]
    return family


if __name__ == "__main__":
    main()
