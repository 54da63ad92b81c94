"""Photographs a second: insightface 2.1, bare ONNX Runtime and Facegrid, in turn on the same files and cores.

Run with `make bench`. FACEGRID_TEST_ASSETS names a folder with faces/ and models/, whose SCRFD and ArcFace
files all sides run; without it the open pack is measured alone, on a photograph of scikit-image. Servers
run in processes of their own; this process is their client, which sends bytes and reads none.
"""

import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import grpc
import numpy as np
import skimage.data

from bare import Work, arrangements
from facegrid.log import configure_log
from facegrid.serving.packs import build_open_pack
from facegrid.settings import Settings
from facegrid.v1.face_service_pb2 import ExtractedFace, ExtractRequest, ExtractResponse
from facegrid.v1.types_pb2 import FACE_SELECTION_ALL
from insightface_pack import copy_insightface_pack
from insightface_reference import InsightfaceReference
from server import running
from stages import Stages

_ROUNDS = 5
_CALLERS = 16
_SMALLEST_PX = 40  # what fast mode looks for
_OVERLAP, _COSINE = 0.9, 0.99
_ANY_SIZE = [("grpc.max_receive_message_length", -1)]
Ways = dict[str, Callable[[], object]]
Extract = Callable[[list[bytes], int], list[bytes]]


def main() -> None:
    """Measure the packs that can be measured here."""
    configure_log(json=False, quiet=True)
    assets = Path(os.environ.get("FACEGRID_TEST_ASSETS", ""))
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder)
        build_open_pack(models)
        if (assets / "faces").is_dir():
            photographs = sorted(
                path for path in (assets / "faces").iterdir() if path.suffix in {".jpg", ".jpeg", ".png"}
            )
            measure_beside_insightface(models, copy_insightface_pack(models, assets / "models"), photographs)
        else:
            print("FACEGRID_TEST_ASSETS is not set: insightface and bare ONNX Runtime are left out")
            photographs = [Path(skimage.data.__file__).parent / "astronaut.png"] * 10
        measure_open(models, photographs)


def measure_beside_insightface(models: Path, files: list[Path], photographs: list[Path]) -> None:
    """Print the rows (a) to (e) for SCRFD and MobileFaceNet, and what stands behind them."""
    contents = [path.read_bytes() for path in photographs]
    reference = InsightfaceReference(*files)
    works = [
        Work(content, reference.extract(path)) for content, path in zip(contents, photographs, strict=True)
    ]
    stages = Stages(models, "insightface", len(os.sched_getaffinity(0)))
    ways: Ways = {"(a) insightface 2.1": lambda: [reference.extract(path) for path in photographs]}
    for name, bare in arrangements(*files).items():
        ways[f"(b) bare, {name}"] = partial(bare.run, works)
    with extracting(models, "insightface") as extract, fast_mode(models) as fast:
        ways["(c) Facegrid, one caller"] = partial(extract, contents, 1)
        ways["(d) Facegrid, 16 callers"] = partial(extract, contents, _CALLERS)
        if fast:
            ways["(e) fast mode, 16 callers"] = partial(fast, contents, _CALLERS)
        ways["stages"] = lambda: stages.run(contents)
        seconds = in_turn(ways)
        del seconds["stages"]
        print_table("SCRFD-2.5GF and MobileFaceNet", seconds, len(photographs))
        best = min(value for name, value in seconds.items() if name.startswith("(b)"))
        print(f"  (d) is {best / seconds['(d) Facegrid, 16 callers']:.0%} of the best (b)")
        print(f"  the time of (c): {stages.shares(seconds['(c) Facegrid, one caller'])}")
        if fast:
            print(f"  (e) {agreement(extract(contents, 1), fast(contents, 1))}")


def measure_open(models: Path, photographs: list[Path]) -> None:
    """Print the open pack's own two rows; their ratio is that to one caller."""
    contents = [path.read_bytes() for path in photographs]
    with extracting(models, "open") as extract:
        rows: Ways = {
            "one caller": partial(extract, contents, 1),
            "16 callers": partial(extract, contents, _CALLERS),
        }
        print_table("open pack", in_turn(rows), len(photographs))


@contextmanager
def extracting(models: Path, pack: str, **settings: str) -> Iterator[Extract]:
    """Run a server and yield what sends it photographs and returns its answers, of which it reads nothing."""
    with (
        running(models, pack, **settings) as server,
        grpc.insecure_channel(server.address, _ANY_SIZE) as channel,
        ThreadPoolExecutor(_CALLERS) as pool,
    ):
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/facegrid.v1.FaceService/Extract"
        )

        def one(photograph: bytes) -> bytes:
            request = ExtractRequest(photograph=photograph, faces=FACE_SELECTION_ALL)
            try:
                return bytes(call(request.SerializeToString()))
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:  # it shows no face
                    raise
                return b""

        yield lambda photographs, callers: list((pool.map if callers > 1 else map)(one, photographs))


@contextmanager
def fast_mode(models: Path) -> Iterator[Extract | None]:
    """Run a server in fast mode, where there is one."""
    if "detection" not in Settings.model_fields:
        yield None
        return
    with extracting(models, "insightface", detection="fast", smallest_face_px=str(_SMALLEST_PX)) as extract:
        yield extract


def in_turn(ways: Ways) -> dict[str, float]:
    """Return the median of the seconds that each way takes, one way after the other in each round."""
    times: dict[str, list[float]] = defaultdict(list)
    for number in range(_ROUNDS + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if number:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def print_table(title: str, seconds: dict[str, float], count: int) -> None:
    """Print a row for each way; its ratio is that to the first."""
    print(f"\n{title}: {count} photographs, medians of {_ROUNDS} rounds in turn")
    first = next(iter(seconds.values()))
    for name, value in seconds.items():
        print(f"  {name:<26} {count / value:6.1f} photographs/s   ratio {first / value:.2f}", flush=True)


def agreement(expected: list[bytes], found: list[bytes]) -> str:
    """Say how many faces of the reference mode, of the smallest size and more, the fast one finds."""
    pairs = [
        max(((_overlap(face, other), _cosine(face, other)) for other in _faces(answer)), default=(0.0, 0.0))
        for reference, answer in zip(expected, found, strict=True)
        for face in _faces(reference)
        if min(face.face.box.width, face.face.box.height) >= _SMALLEST_PX
    ]
    same = sum(overlap >= _OVERLAP and cosine >= _COSINE for overlap, cosine in pairs)
    overlaps, cosines = zip(*pairs, strict=True)
    return (
        f"finds {same} of {len(pairs)} faces of {_SMALLEST_PX} px and more with an overlap of {_OVERLAP} and "
        f"a cosine of {_COSINE}; the lowest are {min(overlaps):.3f} and {min(cosines):.4f}"
    )


def _faces(answer: bytes) -> list[ExtractedFace]:
    return list(ExtractResponse.FromString(answer).faces)


def _overlap(one: ExtractedFace, other: ExtractedFace) -> float:
    a, b = one.face.box, other.face.box
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    shared = max(0.0, width) * max(0.0, height)
    return shared / (a.width * a.height + b.width * b.height - shared)


def _cosine(one: ExtractedFace, other: ExtractedFace) -> float:
    first, second = (np.frombuffer(face.template.vector, "<f4") for face in (one, other))
    return float(first @ second)


if __name__ == "__main__":
    main()
