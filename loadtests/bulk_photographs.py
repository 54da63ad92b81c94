"""`facegrid bulk enroll` of N photographs with and without --ray, in turn, on this machine.

Run `python loadtests/bulk_photographs.py [N]`. Each run is the command from its start to its end into a new
gallery. What N photographs take beyond a tenth of them gives the rate, so that starting counts for neither.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from facegrid.vision.convert.open_pack import build_open_pack

_COMMAND = [sys.executable, "-m", "facegrid.cli"]
_WAYS = {"one process": [], "Ray": ["--ray"]}


def main() -> None:
    """Enrol in turn, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", type=int, nargs="?", default=600)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fgb", dir="/tmp") as name:  # Ray's sockets need a short path
        folder, few = Path(name), options.photographs // 10
        build_open_pack(folder / "models")
        os.environ |= {"FACEGRID_MODELS": str(folder / "models"), "FACEGRID_DATA": str(folder / "data")}
        os.environ |= {"RAY_TMPDIR": name}
        sources = [write(folder / str(count), count) for count in (few, options.photographs)]
        rates: dict[str, list[float]] = {way: [] for way in _WAYS}
        for number in range(options.rounds):
            for way, flags in _WAYS.items():
                start, whole = (enrolled_s(source, f"g{number}", flags) for source in sources)
                rates[way].append((options.photographs - few) / (whole - start))
                print(f"round {number + 1}, {way}: {start:.1f} s, then {rates[way][-1]:.1f}/s", flush=True)
    one, ray = (statistics.median(rates[way]) for way in _WAYS)
    print(f"photographs/s: one process {one:.1f}, Ray {ray:.1f}, ratio {ray / one:.2f}")


def write(folder: Path, count: int) -> Path:
    """Write photographs of 512×512 pixels of one subject, each another one."""
    (folder / "ann").mkdir(parents=True)
    portrait = skimage.data.astronaut()
    for number in range(count):
        moved = np.roll(portrait, (number % 32, number // 32), (0, 1))
        Image.fromarray(moved).save(folder / "ann" / f"{number}.jpg", quality=90)
    return folder


def enrolled_s(source: Path, gallery: str, flags: list[str]) -> float:
    """Return the seconds that it takes to enrol a source in a new gallery."""
    subprocess.run([*_COMMAND, "gallery", "create", gallery], check=True, capture_output=True)
    start = time.perf_counter()
    enroll = [*_COMMAND, "bulk", "enroll", *flags, "--gallery", gallery, str(source)]
    subprocess.run(enroll, check=True, capture_output=True)
    taken = time.perf_counter() - start
    subprocess.run([*_COMMAND, "gallery", "delete", gallery, "--yes"], check=True, capture_output=True)
    source.with_name(f"{source.name}.{gallery}.journal").unlink()
    return taken


if __name__ == "__main__":
    main()
