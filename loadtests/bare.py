"""The models' own price: a photograph decoded and each model run on it as often as Extract does, no more."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

_SIDE, _CROP = 640, 112


@dataclass(frozen=True, slots=True)
class Work:
    """A photograph and how many faces are found in it."""

    photograph: bytes
    faces: int


class BareRuntime:
    """A detector and an embedder in ONNX Runtime: `callers` threads, each with sessions of its own."""

    def __init__(self, detector: Path, embedder: Path, *, callers: int, threads: int) -> None:
        """Load both files once a caller; a run uses `threads` threads."""
        self._pairs = [[_run(path, threads) for path in (detector, embedder)] for _ in range(callers)]
        self._pool = ThreadPoolExecutor(callers)
        random = np.random.default_rng(0)
        self._picture = random.standard_normal((1, 3, _SIDE, _SIDE), np.float32)
        self._crop = random.standard_normal((1, 3, _CROP, _CROP), np.float32)

    def run(self, works: list[Work]) -> None:
        """Do all the work, each caller its share."""
        share = len(self._pairs)
        list(self._pool.map(lambda number: self._one(number, works[number::share]), range(share)))

    def _one(self, number: int, works: list[Work]) -> None:
        detect, embed = self._pairs[number]
        for work in works:
            cv2.imdecode(np.frombuffer(work.photograph, np.uint8), cv2.IMREAD_COLOR)
            detect(self._picture)
            for _ in range(work.faces):
                embed(self._crop)


def arrangements(detector: Path, embedder: Path) -> dict[str, BareRuntime]:
    """Return the ways to spread the work over this machine's cores."""
    cores = len(os.sched_getaffinity(0))
    return {
        f"{callers} × {threads} threads": BareRuntime(detector, embedder, callers=callers, threads=threads)
        for callers, threads in {(1, cores), (cores, 1), (cores, 2)}
    }


def _run(path: Path, threads: int) -> Callable[[np.ndarray], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors alone
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if threads == 1 else "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})
