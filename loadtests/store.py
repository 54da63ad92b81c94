"""Objects a second, of 12 KiB each, into and out of a folder and MinIO, in turn.

Usage: python loadtests/store.py [FOLDER] -- a folder on the disk to measure; MinIO as `make tools` builds it.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from facegrid.storage.objects.files import LocalObjectStore
from facegrid.storage.objects.s3 import S3ObjectStore
from facegrid.storage.objects.s3_client import S3Location
from facegrid.storage.objects.store import ObjectStore

_SIZE, _OBJECTS, _ROUNDS, _THREADS = 12 * 1024, 800, 5, (1, 16)
_ADDRESS, _CONSOLE = "127.0.0.1:19000", "127.0.0.1:19001"


def main() -> None:
    """Print the medians of some rounds."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as name:
        folder = Path(name)
        with minio(folder / "minio") as bucket:
            stores: dict[str, ObjectStore] = {"folder": LocalObjectStore(folder / "folder"), "MinIO": bucket}
            rates: dict[tuple[str, str, int], list[float]] = {}
            for number in range(_ROUNDS):
                for kind, store in stores.items():
                    for threads in _THREADS:
                        for use, rate in measure(store, f"{number}/{threads}", threads).items():
                            rates.setdefault((use, kind, threads), []).append(rate)
    for (use, kind, threads), values in sorted(rates.items()):
        print(
            f"{use:14} {kind:7} {threads:3} threads {statistics.median(values):8.0f}/s  "
            f"({min(values):.0f} to {max(values):.0f})"
        )


def measure(store: ObjectStore, prefix: str, threads: int) -> dict[str, float]:
    """Return the rates of writes, conditional writes and reads."""
    keys = [f"{prefix}/{number // 100:02}/{number:04}" for number in range(_OBJECTS)]
    data = os.urandom(_SIZE)
    with ThreadPoolExecutor(threads) as pool:
        return {
            "put": rate(pool, partial(store.put, data=data), keys),
            "put_if_absent": rate(pool, partial(store.put_if_absent, data=data), [f"{key}n" for key in keys]),
            "get": rate(pool, store.get, keys),
        }


def rate(pool: ThreadPoolExecutor, use: Callable[[str], object], keys: list[str]) -> float:
    """Return how many keys a second are used."""
    start = time.perf_counter()
    list(pool.map(use, keys))
    return len(keys) / (time.perf_counter() - start)


@contextmanager
def minio(folder: Path) -> Iterator[S3ObjectStore]:
    """Run MinIO in a folder."""
    (program,) = Path(__file__).parents[1].glob(".tools/minio-*/minio")
    os.environ |= {"AWS_ACCESS_KEY_ID": "facegrid-bench", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
    server = subprocess.Popen(
        [program, "server", folder, "--address", _ADDRESS, "--console-address", _CONSOLE, "--quiet"],
        env=os.environ | {"MINIO_ROOT_USER": "facegrid-bench", "MINIO_ROOT_PASSWORD": "not-a-secret"},
        stdout=subprocess.DEVNULL,
    )
    try:
        store = S3ObjectStore(S3Location.parse(f"http://{_ADDRESS}/bench"), connections=max(_THREADS))
        store.make_bucket()  # tried again until the server is up
        yield store
        store.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
