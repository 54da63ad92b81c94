"""The vision layer behind the asynchronous ports of the use cases."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.detection import DetectionOptions
from facegrid.domain.errors import FacegridError
from facegrid.domain.faces import Detection, Pixels
from facegrid.domain.packs import Pack
from facegrid.domain.templates import Template
from facegrid.vision.batching import MicroBatcher
from facegrid.vision.decode import PhotographLimits
from facegrid.vision.detection import Job, detect_all
from facegrid.vision.packs import LoadedPack, PackFolder
from facegrid.vision.search import Search
from facegrid.vision.session import cuda_is_used

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How many items one run of a model takes at most, and how many may wait for it."""

    detector: int
    embedder: int
    queue: int = 512  # sixteen calls of 32 photographs, the most that one call may bring


# Two runs at a time on two cores: SCRFD at 640 does 36 photographs a second one by one and in twos, 33 in
# fours; MobileFaceNet does 716 crops a second one by one, 707 in fours, 553 in sixteens. So a batch saves
# a CPU nothing but the way to it. The limits for a GPU are still to be measured.
_CPU_BATCHES = BatchLimits(detector=1, embedder=4)
_CUDA_BATCHES = BatchLimits(detector=8, embedder=64)


@dataclass(frozen=True, slots=True)
class _Batchers:
    """Where the calls of one pack gather."""

    detector: MicroBatcher[Job, Detection]
    embedder: MicroBatcher[Pixels, Template]


class VisionEngine:
    """Detector, Embedder and Packs in one process.

    Each pack is read once and loaded once, at its first use; changes on disk count after a restart.
    """

    def __init__(
        self,
        packs: PackFolder,
        limits: PhotographLimits,
        workers: int,
        batches: BatchLimits | None = None,
        smallest_face_px: float = 20,
    ) -> None:
        """Work in `workers` threads; what exceeds them waits and gathers into batches.

        `smallest_face_px` is the size below which no face is used.
        """
        self._folder = packs
        self._limits, self._smallest_face_px = limits, smallest_face_px
        self._batches = batches or (_CUDA_BATCHES if cuda_is_used() else _CPU_BATCHES)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="vision")
        self._loading = Lock()
        self._loaded: dict[str, LoadedPack] = {}
        self._known: dict[str, Pack] = {}
        self._batchers: dict[str, _Batchers] = {}

    def pack(self, name: str) -> Pack:
        """Return a pack, without loading its models. Raises PackNotFound."""
        if name not in self._known:
            self._known[name] = self._folder.manifest(name).pack
        return self._known[name]

    async def warm(self, pack: str) -> None:
        """Load a pack before its first call. Raises PackNotFound and PackError."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self._load, pack)

    async def detect(
        self, photograph: bytes, pack: str, alignments: Sequence[str], options: DetectionOptions
    ) -> Detection:
        """Decode the photograph, find its faces, rate them and cut one crop for each face and alignment.

        Raises InvalidPhotograph, PhotographTooLarge, PackNotFound and Overloaded.
        """
        (detection,) = await self._gathered(pack).detector([Job(photograph, alignments, options)])
        return detection

    async def embed(self, crops: NDArray[np.uint8], pack: str) -> list[Template]:
        """Return a template for each crop of uint8 RGB (N, side, side, 3).

        Raises PackNotFound and Overloaded.
        """
        return await self._gathered(pack).embedder(list(crops))

    def close(self) -> None:
        """Finish what runs and drop what waits."""
        self._threads.shutdown(cancel_futures=True)

    def _gathered(self, name: str) -> _Batchers:
        if name not in self._batchers:
            self.pack(name)
            detector = self._batcher(partial(self._detect, name), self._batches.detector)
            self._batchers[name] = _Batchers(
                detector, self._batcher(partial(self._embed, name), self._batches.embedder)
            )
        return self._batchers[name]

    def _batcher(
        self, run: Callable[[list[_Item]], Sequence[_Result | Exception]], max_batch: int
    ) -> MicroBatcher[_Item, _Result]:
        return MicroBatcher(run, max_batch=max_batch, max_queue=self._batches.queue, executor=self._threads)

    def _embed(self, pack: str, crops: list[Pixels]) -> list[Template]:
        return self._load(pack).embedder.embed(np.stack(crops))

    def _detect(self, pack: str, jobs: list[Job]) -> list[Detection | FacegridError]:
        return detect_all(Search(self._load(pack).detector, self._smallest_face_px), jobs, self._limits)

    def _load(self, name: str) -> LoadedPack:
        with self._loading:
            if name not in self._loaded:
                self._loaded[name] = self._folder.load(name)
            return self._loaded[name]
