"""Photographs a second through Extract, where the time goes, and insightface 2.1 on the same files in turn.

Run with `make bench`. FACEGRID_TEST_ASSETS names a folder with faces/ and models/, whose SCRFD and ArcFace
files both sides run; without it the open pack is measured alone, on a photograph of scikit-image.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray

from facegrid.client import CallFailed, Client
from facegrid.domain.alignment import alignment_named
from facegrid.log import configure_log
from facegrid.serving.local import LocalRuntime
from facegrid.serving.packs import build_open_pack
from facegrid.settings import Settings
from facegrid.v1.types_pb2 import FACE_SELECTION_ALL
from facegrid.vision.align import align
from facegrid.vision.decode import PhotographLimits, decode
from facegrid.vision.packs import PackFolder
from facegrid.vision.quality import measure_quality
from insightface_reference import InsightfaceReference

_ROUNDS = 5
_CALLERS = 4
_STEPS = ("decode", "detect", "quality", "align", "embed")


def main() -> None:
    """Measure the packs that can be measured here."""
    configure_log(json=False, quiet=True)
    assets = Path(os.environ.get("FACEGRID_TEST_ASSETS", ""))
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder, "models")
        build_open_pack(models)
        if (assets / "faces").is_dir():
            photographs = sorted(
                path for path in (assets / "faces").iterdir() if path.suffix in {".jpg", ".jpeg", ".png"}
            )
            reference = InsightfaceReference(*_make_insightface_pack(models, assets / "models"))
            measure(Path(folder), "insightface", photographs, reference)
        else:
            print("FACEGRID_TEST_ASSETS is not set: insightface is left out")
            photographs = [Path(skimage.data.__file__).parent / "astronaut.png"] * 10
        measure(Path(folder), "open", photographs, None)


def measure(folder: Path, pack: str, photographs: list[Path], reference: InsightfaceReference | None) -> None:
    """Run every way over all photographs, one way after the other, and print the medians."""
    settings = Settings(data=folder / f"data-{pack}", models=folder / "models", pack=pack)
    with _running(settings) as client, ThreadPoolExecutor(_CALLERS) as pool:

        def extract(path: Path) -> None:
            try:
                client.extract(path.read_bytes(), faces=FACE_SELECTION_ALL)
            except CallFailed as failure:
                if failure.reason != "NO_FACE_FOUND":
                    raise

        ways: dict[str, Callable[[], object]] = {
            "Extract, one caller": lambda: [extract(path) for path in photographs],
            f"Extract, {_CALLERS} callers": lambda: list(pool.map(extract, photographs)),
        }
        if reference:
            ways = {"insightface 2.1": lambda: [reference.extract(path) for path in photographs]} | ways
        stages = Stages(folder / "models", pack)
        ways["stages"] = lambda: stages.run(photographs)
        seconds = {name: statistics.median(times) for name, times in _in_turn(ways).items()}
        del seconds["stages"]
    print(f"\npack {pack}: {len(photographs)} photographs, median of {_ROUNDS} rounds in turn")
    first = next(iter(seconds.values()))
    for name, value in seconds.items():
        print(f"  {name:<20} {len(photographs) / value:6.1f} photographs/s   ratio {first / value:.2f}")
    print(f"  of one caller's time: {stages.shares(seconds['Extract, one caller'])}")


def _make_insightface_pack(models: Path, assets: Path) -> list[Path]:
    folder = models / "insightface"
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("insightface.toml"), folder / "manifest.toml")
    manifest = PackFolder(models).manifest("insightface")
    for file in manifest.files:
        shutil.copy(assets / file.path, folder)
    return [folder / file.path for file in manifest.files]


@contextmanager
def _running(settings: Settings) -> Iterator[Client]:
    runtime = LocalRuntime(settings)
    try:
        yield Client(runtime.start())
    finally:
        runtime.stop()


def _in_turn(ways: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = defaultdict(list)
    for number in range(_ROUNDS + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if number:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    return times


class Stages:
    """The steps of Extract without the service around them, one photograph after another."""

    def __init__(self, models: Path, pack: str) -> None:
        """Load the pack a second time."""
        self._pack = PackFolder(models).load(pack)
        self._seconds: dict[str, list[float]] = defaultdict(list)

    def run(self, photographs: list[Path]) -> None:
        """Take all photographs through the steps and note the seconds that each step took."""
        spent = np.sum([self._one(path.read_bytes()) for path in photographs], axis=0)
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

    def shares(self, whole: float) -> str:
        """Return each step's share of the seconds that Extract took as a whole."""
        split = {name: statistics.median(values[1:]) for name, values in self._seconds.items()}
        split["the rest"] = whole - sum(split.values())
        return ", ".join(f"{name} {100 * value / whole:.0f} %" for name, value in split.items())


if __name__ == "__main__":
    main()
