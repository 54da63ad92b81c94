"""What a server's process weighs: after its start, over many photographs, and after a huge one.

Run with `make bench-memory N=10000`. The open pack; photographs of many sizes; four callers.
"""

import argparse
import re
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from facegrid.client import CallFailed, Client
from facegrid.serving.packs import build_open_pack
from facegrid.v1.types_pb2 import FACE_SELECTION_ALL
from server import running

_CALLERS = 4
_LIMIT_MIB = 500
_GROWTH = 0.05
_SIZES = 200
_HUGE = (8000, 8000)
_SETTLED_S = 5


def main() -> None:
    """Print a line for each thousand photographs, then the verdicts; exit with 1 where one is bad."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=int, default=10_000)
    count = parser.parse_args().photographs
    with tempfile.TemporaryDirectory() as models:
        build_open_pack(Path(models))
        with running(Path(models), "open") as server, Client(server.address) as client:
            weights = measure(client, server.pid, count)
            extract(client, _jpeg(_HUGE))
            huge = _resident_mib(server.pid, "VmHWM")
            time.sleep(_SETTLED_S)
            after = resident_mib(server.pid)
    print(f"one photograph of 64 megapixels: {huge:.0f} MiB at most, {after:.0f} MiB {_SETTLED_S} s later")
    growth, growth_after = (last / weights[1] - 1 for last in (max(weights[2:]), after))
    verdicts = {
        f"{max(weights):.0f} MiB at most, limit {_LIMIT_MIB}": max(weights) <= _LIMIT_MIB,
        f"{growth:+.1%} since the first tenth, limit {_GROWTH:.0%}": growth <= _GROWTH,
        f"{growth_after:+.1%} after the huge one, limit {_GROWTH:.0%}": growth_after <= _GROWTH,
    }
    for verdict, good in verdicts.items():
        print(f"{'good' if good else 'BAD ':<5} {verdict}")
    raise SystemExit(not all(verdicts.values()))


def measure(client: Client, pid: int, count: int) -> list[float]:
    """Return the process's MiB before the first photograph and after each tenth of them."""
    photographs, weights = _photographs(), [resident_mib(pid)]
    print(f"{'photographs':>11} {'MiB':>6}\n{0:>11} {weights[0]:6.0f}")
    with ThreadPoolExecutor(_CALLERS) as pool:
        for start in range(0, count, count // 10):
            block = range(start, min(start + count // 10, count))
            for _ in pool.map(lambda number: extract(client, photographs[number % len(photographs)]), block):
                pass
            weights.append(resident_mib(pid))
            print(f"{block.stop:>11} {weights[-1]:6.0f}", flush=True)
    return weights


def extract(client: Client, photograph: bytes) -> None:
    """Send a photograph, which may show nobody."""
    try:
        client.extract(photograph, faces=FACE_SELECTION_ALL)
    except CallFailed as failure:
        if failure.reason not in {"NO_FACE_FOUND", "FACE_TOO_SMALL"}:
            raise


def resident_mib(pid: int) -> float:
    """Return what a process holds in memory now."""
    return _resident_mib(pid, "VmRSS")


def _resident_mib(pid: int, entry: str) -> float:
    found = re.search(rf"{entry}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("ascii"))
    return int(found[1]) / 1024 if found else 0.0


def _photographs() -> list[bytes]:
    """Return photographs of one person in many sizes and shapes, as no two models' inputs need be alike."""
    random = np.random.default_rng(0)
    return [_jpeg((int(width), int(height))) for width, height in random.integers(200, 2400, (_SIZES, 2))]


def _jpeg(size: tuple[int, int]) -> bytes:
    file = BytesIO()
    Image.fromarray(skimage.data.astronaut()).resize(size).save(file, "JPEG")
    return file.getvalue()


if __name__ == "__main__":
    main()
