"""The steps of Extract without the service around them, one photograph after another."""

import statistics
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.alignment import alignment_named
from facegrid.vision.align import align
from facegrid.vision.decode import PhotographLimits, decode
from facegrid.vision.packs import PackFolder
from facegrid.vision.quality import measure_quality

_STEPS = ("decode", "detect", "quality", "align", "embed")


class Stages:
    """Takes photographs through the steps and keeps the seconds that each took."""

    def __init__(self, models: Path, pack: str, threads: int) -> None:
        """Load the pack; a run of a model uses `threads` threads."""
        self._pack = PackFolder(models, threads=threads).load(pack)
        self._seconds: dict[str, list[float]] = defaultdict(list)

    def run(self, photographs: list[bytes]) -> None:
        """Take all photographs through the steps."""
        spent = np.sum([self._one(photograph) for photograph in photographs], axis=0)
        for name, value in zip(_STEPS, spent, strict=True):
            self._seconds[name].append(value)

    def _one(self, photograph: bytes) -> NDArray[np.float64]:
        alignment = alignment_named(self._pack.pack.alignment)
        marks = [time.perf_counter()]
        pixels = decode(photograph, PhotographLimits())
        marks.append(time.perf_counter())
        faces = self._pack.detector.detect(pixels)
        marks.append(time.perf_counter())
        for face in faces:
            measure_quality(pixels, face)
        marks.append(time.perf_counter())
        crops = [align(pixels, face.landmarks, alignment) for face in faces]
        marks.append(time.perf_counter())
        if crops:
            self._pack.embedder.embed(np.stack(crops))
        marks.append(time.perf_counter())
        return np.diff(marks)

    def share_without_models(self) -> float:
        """Return what of the work up to the crops is none of the detector model's."""
        split = {name: statistics.median(self._seconds[name][1:]) for name in _STEPS[:-1]}
        return 1 - split["detect"] / sum(split.values())

    def shares(self, whole: float) -> str:
        """Return each step's share of `whole`, the seconds that the same photographs took as one caller's."""
        split = {name: statistics.median(values[1:]) for name, values in self._seconds.items()}
        split["the rest"] = whole - sum(split.values())
        return ", ".join(f"{name} {100 * value / whole:.0f} %" for name, value in split.items())
