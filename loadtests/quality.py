"""Error versus discard: what recognition gains where the faces of the lowest quality are left out.

    FACEGRID_TEST_ASSETS=… python loadtests/quality.py FOLDER

Photographs of six people are degraded step by step, found again and compared with the person's other
photographs as they are. For each pack and measure the table says what share of a perfect order's gain the
measure's order brings, from 0 (random) to 1; FOLDER receives the curves as quality-PACK.png.
"""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from chart import LineChart
from facegrid.domain.alignment import alignment_named
from facegrid.domain.faces import DetectedFace, Floats, Pixels
from facegrid.domain.quality import template_norm_measures
from facegrid.serving.packs import build_open_pack
from facegrid.vision.align import align
from facegrid.vision.decode import PhotographLimits, decode
from facegrid.vision.packs import LoadedPack, PackFolder
from facegrid.vision.quality import measure_quality
from insightface_pack import copy_insightface_pack

_PEOPLE = ("obama", "biden", "rose_leslie", "kit_harington", "alex_lacamoire", "Rob_Lowe")
_EYES_PX = 60  # what a photograph is reduced to first, so that a step means the same for all
_DRAWN = ("facegrid_quality", "sharpness", "inter_eye_distance", "template_norm")
_SHARES = np.arange(0, 0.96, 0.05)


def _as_bytes(pixels: NDArray[Any]) -> Pixels:
    return pixels.astype(np.uint8)


def _blurred(pixels: Pixels, sigma: float) -> Pixels:
    return _as_bytes(cv2.GaussianBlur(pixels, (0, 0), sigma))


def _darkened(pixels: Pixels, light: float) -> Pixels:
    return _as_bytes(pixels * light)


def _reduced(pixels: Pixels, eyes_px: float) -> Pixels:
    share = eyes_px / _EYES_PX
    return _as_bytes(cv2.resize(pixels, None, fx=share, fy=share, interpolation=cv2.INTER_AREA))


def _turned(pixels: Pixels, degrees: float) -> Pixels:
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return _as_bytes(cv2.warpAffine(pixels, turn, (width, height)))


_STEPS: dict[str, tuple[Callable[[Pixels, float], Pixels], list[float]]] = {
    "blur, sigma in px": (_blurred, [1, 2, 3, 4, 5, 6, 8, 10]),
    "light, share": (_darkened, [0.5, 0.25, 0.15, 0.1, 0.06, 0.03]),
    "eyes apart, px": (_reduced, [40, 25, 18, 14, 11, 8, 6]),
    "turned, degrees": (_turned, [10, 20, 30, 45, 60]),
}


@dataclass(frozen=True)
class Photograph:
    """A person's photograph, reduced, and its template as it is."""

    person: str
    name: str
    pixels: Pixels
    vector: Floats


@dataclass(frozen=True)
class Comparison:
    """A degraded photograph against another one of the person: its step, its measures, and the score."""

    step: tuple[str, float]
    values: dict[str, float]
    score: float


class Bench:
    """One pack over all photographs and steps."""

    def __init__(self, pack: LoadedPack) -> None:
        """Take the pack."""
        self._pack = pack
        self.name, self.threshold = pack.pack.name, pack.pack.thresholds.verify.value

    def compare(self, paths: list[Path]) -> Iterator[Comparison]:
        """Yield all comparisons; a face that is no longer found makes none."""
        photographs = [self._photograph(path) for path in paths]
        for photograph in photographs:
            mates = [
                one.vector
                for one in photographs
                if one.person == photograph.person and one.name != photograph.name
            ]
            for kind, (change, amounts) in _STEPS.items():
                for amount in amounts:
                    if seen := self._see(change(photograph.pixels, amount)):
                        values, vector = seen
                        yield from (
                            Comparison((kind, amount), values, float(vector @ mate)) for mate in mates
                        )

    def _photograph(self, path: Path) -> Photograph:
        pixels = decode(path.read_bytes(), PhotographLimits())
        left, right = self._pack.detector.detect(pixels)[0].landmarks[:2]
        reduced = _reduced(pixels, _EYES_PX**2 / float(np.linalg.norm(right - left)))
        seen = self._see(reduced) or self._see(pixels)
        if seen is None:
            raise SystemExit(f"{path.name} shows no face")
        _, vector = seen
        return Photograph(re.sub(r"[\d_]+$", "", path.stem), path.name, reduced, vector)

    def _see(self, pixels: Pixels) -> tuple[dict[str, float], Floats] | None:
        faces = self._pack.detector.detect(pixels)
        return self._measured(pixels, faces[0]) if faces else None

    def _measured(self, pixels: Pixels, face: DetectedFace) -> tuple[dict[str, float], Floats]:
        crop = align(pixels, face.landmarks, alignment_named(self._pack.pack.alignment))
        (template,) = self._pack.embedder.embed(crop[None])
        measures = measure_quality(pixels, face) + template_norm_measures(template.norm, self._pack.pack)
        values = {one.measure: one.component for one in measures}
        return values | {"norm": template.norm}, template.vector


def _rates(order: NDArray[np.float64], misses: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the FNMR after each share of the lowest values is discarded; ties share their misses."""
    _, group = np.unique(order, return_inverse=True)
    missed = (np.bincount(group, misses) / np.bincount(group))[group][np.argsort(order, kind="stable")]
    return np.array([missed[int(share * len(missed)) :].mean() for share in _SHARES])


def _steps_table(comparisons: list[Comparison], threshold: float) -> None:
    print("  step                        found pairs   norm  score   FNMR")
    for step in dict.fromkeys(one.step for one in comparisons):
        those = [one for one in comparisons if one.step == step]
        scores = np.array([one.score for one in those])
        norm = np.median([one.values["norm"] for one in those])
        print(
            f"  {step[0]:<20} {step[1]:6.2f} {len(those):12d} {norm:6.2f} {np.median(scores):6.2f} "
            f"{(scores < threshold).mean():6.2f}"
        )


def draw(bench: Bench, comparisons: list[Comparison], folder: Path) -> None:
    """Print what each measure's order gains, and draw the curves of some."""
    scores = np.array([one.score for one in comparisons])
    misses = scores < bench.threshold
    curves = {
        name: _rates(np.array([one.values[name] for one in comparisons]), misses)
        for name in comparisons[0].values
        if name != "norm"
    }
    oracle, chance = _rates(scores, misses), np.full(len(_SHARES), misses.mean())
    _gains_table(
        {name: ((chance - curve).sum() / (chance - oracle).sum(), curve) for name, curve in curves.items()}
    )
    shown = {name: curves[name] for name in _DRAWN if name in curves} | {"oracle": oracle, "random": chance}
    highest = np.ceil(max(curve.max() for curve in shown.values()) / 0.25) * 0.25
    title = f"Error versus discard, pack {bench.name}, {len(scores)} mated comparisons"
    chart = LineChart(title, "share discarded, lowest quality first", "FNMR", highest)
    chart.draw({name: list(zip(_SHARES, curve, strict=True)) for name, curve in shown.items()})
    chart.save(folder / f"quality-{bench.name}.png")


def _gains_table(gains: dict[str, tuple[float, NDArray[np.float64]]]) -> None:
    print("  order by               gain   FNMR at 0, 30, 60 % discarded")
    for name, (gain, curve) in sorted(gains.items(), key=lambda pair: -pair[1][0]):
        print(f"  {name:<20} {gain:6.2f}   " + ", ".join(f"{curve[place]:.3f}" for place in (0, 6, 12)))


def main() -> None:
    """Draw both packs' curves into the folder that is named."""
    folder = Path(sys.argv[1])
    assets = Path(os.environ["FACEGRID_TEST_ASSETS"])
    people = re.compile(rf"({'|'.join(_PEOPLE)})_?\d*\.jpg")
    paths = sorted(path for path in (assets / "faces").iterdir() if people.fullmatch(path.name))
    with tempfile.TemporaryDirectory() as models:
        build_open_pack(Path(models))
        copy_insightface_pack(Path(models), assets / "models")
        for name in ("open", "insightface"):
            bench = Bench(PackFolder(Path(models)).load(name))
            comparisons = list(bench.compare(paths))
            print(f"\npack {name}: {len(paths)} photographs, threshold {bench.threshold}")
            _steps_table(comparisons, bench.threshold)
            draw(bench, comparisons, folder)


if __name__ == "__main__":
    main()
