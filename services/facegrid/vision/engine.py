"""The vision layer behind the asynchronous ports of the use cases."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Lock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.alignment import alignment_named
from facegrid.domain.faces import DetectedFace, Detection, Pixels
from facegrid.domain.packs import Pack
from facegrid.domain.templates import Template
from facegrid.vision.align import align
from facegrid.vision.decode import PhotographLimits, decode
from facegrid.vision.packs import LoadedPack, PackFolder
from facegrid.vision.quality import measure_quality

_Result = TypeVar("_Result")


class VisionEngine:
    """Detector, Embedder and Packs in one process.

    Each pack is read once and loaded once, at its first use; changes on disk count after a restart.
    """

    def __init__(self, packs: PackFolder, limits: PhotographLimits, workers: int) -> None:
        """Work in `workers` threads; what exceeds them waits."""
        self._folder = packs
        self._limits = limits
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="vision")
        self._loading = Lock()
        self._loaded: dict[str, LoadedPack] = {}
        self._known: dict[str, Pack] = {}

    def pack(self, name: str) -> Pack:
        """Return a pack, without loading its models. Raises PackNotFound."""
        if name not in self._known:
            self._known[name] = self._folder.manifest(name).pack
        return self._known[name]

    async def warm(self, pack: str) -> None:
        """Load a pack before its first call. Raises PackNotFound and PackError."""
        await self._run(lambda: self._load(pack))

    async def detect(self, photograph: bytes, pack: str, alignments: Sequence[str]) -> Detection:
        """Decode the photograph, find its faces, rate them and cut one crop for each face and alignment.

        Raises InvalidPhotograph, PhotographTooLarge and PackNotFound.
        """
        return await self._run(lambda: self._detect(photograph, pack, alignments))

    async def embed(self, crops: NDArray[np.uint8], pack: str) -> list[Template]:
        """Return a template for each crop of uint8 RGB (N, side, side, 3). Raises PackNotFound."""
        return await self._run(lambda: self._load(pack).embedder.embed(crops))

    def close(self) -> None:
        """Finish what runs and drop what waits."""
        self._threads.shutdown(cancel_futures=True)

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _detect(self, photograph: bytes, pack: str, alignments: Sequence[str]) -> Detection:
        detector = self._load(pack).detector
        pixels = decode(photograph, self._limits)
        faces = tuple(_finished(face, pixels, alignments) for face in detector.detect(pixels))
        return Detection(width=pixels.shape[1], height=pixels.shape[0], faces=faces)

    def _load(self, name: str) -> LoadedPack:
        with self._loading:
            if name not in self._loaded:
                self._loaded[name] = self._folder.load(name)
            return self._loaded[name]


def _finished(face: DetectedFace, pixels: Pixels, alignments: Sequence[str]) -> DetectedFace:
    return replace(
        face,
        quality=measure_quality(face.landmarks, face.detection_score),
        crops={name: align(pixels, face.landmarks, alignment_named(name)) for name in alignments},
    )
