"""The vision layer behind the asynchronous ports of the use cases."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from facegrid.domain.alignment import alignment_named
from facegrid.domain.attributes import Attribute, FaceAttributes
from facegrid.domain.detection import DetectionOptions
from facegrid.domain.errors import FacegridError, Overloaded
from facegrid.domain.faces import DetectedFace, Detection, Pixels
from facegrid.domain.packs import Pack
from facegrid.domain.templates import Template
from facegrid.vision.batching import MicroBatcher
from facegrid.vision.buckets import buckets
from facegrid.vision.decode import PhotographLimits
from facegrid.vision.detection import Job, detect_all
from facegrid.vision.manifest import READ_BY_KIND, PackError
from facegrid.vision.packs import LoadedPack, PackFolder
from facegrid.vision.search import Search

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How many items one run of a model takes at most, and how many may wait for it."""

    detector: int
    embedder: int
    attributes: int = 64  # a crowd's faces in one run, and 28 MB of input
    queue: int = 512  # sixteen calls of 32 photographs, the most that one call may bring


# Two runs at a time on two cores: SCRFD at 640 does 36 photographs a second one by one and in twos, 33 in
# fours; MobileFaceNet does 716 crops a second one by one, 707 in fours, 553 in sixteens. So a batch saves
# a CPU nothing but the way to it. The limits for a GPU are still to be measured.
BATCHES = {"cpu": BatchLimits(detector=1, embedder=4), "cuda": BatchLimits(detector=8, embedder=64)}


@dataclass(frozen=True, slots=True)
class _Batchers:
    """Where the calls of one pack gather."""

    detector: MicroBatcher[Job, Detection]
    embedder: MicroBatcher[Pixels, Template]
    attributes: Mapping[str, MicroBatcher[DetectedFace, FaceAttributes]]


class VisionEngine:
    """Detector, Embedder, AttributeReader and Packs in one process.

    Each pack is read once and loaded once, at its first use; changes on disk count after a restart.
    """

    def __init__(
        self,
        packs: PackFolder,
        limits: PhotographLimits,
        workers: int,
        batches: BatchLimits = BATCHES["cpu"],
        smallest_face_px: float = 20,
    ) -> None:
        """Work in `workers` threads; what exceeds them waits and gathers into batches.

        `smallest_face_px` is the size below which no face is used.
        """
        self._folder = packs
        self._limits, self._smallest_face_px = limits, smallest_face_px
        self._batches = batches
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="vision")
        # OpenCV's own threads gain nothing on pictures of this size and take the cores from other calls.
        cv2.setNumThreads(1)
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
        """Load a pack before its first call and run its models once for each size of batch.

        Raises PackNotFound and PackError.
        """
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

    async def read(
        self, faces: Sequence[DetectedFace], pack: str, attributes: Collection[Attribute]
    ) -> list[FaceAttributes]:
        """Return the attributes of each face, which carries a crop for each that the pack reads off one.

        Only the models run that read one of them. Raises PackNotFound and Overloaded.
        """
        models = self._gathered(pack).attributes
        kinds = [kind for kind, read in READ_BY_KIND.items() if not set(read).isdisjoint(attributes)]
        readings = await asyncio.gather(*(models[kind](faces) for kind in kinds))
        stated = [FaceAttributes(mask=face.mask) for face in faces]
        return [FaceAttributes.joined(one, attributes) for one in zip(stated, *readings, strict=True)]

    def close(self) -> None:
        """Finish what runs and drop what waits."""
        self._threads.shutdown(cancel_futures=True)

    def _gathered(self, name: str) -> _Batchers:
        if name not in self._batchers:
            self.pack(name)
            self._batchers[name] = _Batchers(
                self._batcher(partial(self._detect, name), self._batches.detector),
                self._batcher(partial(self._embed, name), self._batches.embedder),
                {
                    kind: self._batcher(partial(self._read, name, kind), self._batches.attributes)
                    for kind in READ_BY_KIND
                },
            )
        return self._batchers[name]

    def _batcher(
        self, run: Callable[[list[_Item]], Sequence[_Result | Exception]], max_batch: int
    ) -> MicroBatcher[_Item, _Result]:
        return MicroBatcher(run, max_batch=max_batch, max_queue=self._batches.queue, executor=self._threads)

    def _embed(self, pack: str, crops: list[Pixels]) -> list[Template]:
        return self._load(pack).embedder.embed(np.stack(crops))

    def _read(self, pack: str, kind: str, faces: list[DetectedFace]) -> list[FaceAttributes]:
        return self._load(pack).attributes[kind].read(faces)

    def _detect(self, pack: str, jobs: list[Job]) -> list[Detection | FacegridError]:
        return detect_all(Search(self._load(pack).detector, self._smallest_face_px), jobs, self._limits)

    def _load(self, name: str) -> LoadedPack:
        with self._loading:
            if name not in self._loaded:
                loaded = self._folder.load(name)
                _run_once(loaded, self._batches)
                self._loaded[name] = loaded
            return self._loaded[name]


def _run_once(pack: LoadedPack, batches: BatchLimits) -> None:
    """Run each model with every size of batch, so that no request meets a shape for the first time."""
    side = alignment_named(pack.pack.alignment).side
    try:
        for size in buckets(batches.detector):
            pack.detector.look([pack.detector.whole(np.zeros((side, side, 3), np.uint8))] * size)
        for size in buckets(batches.embedder):
            pack.embedder.features(np.zeros((size, side, side, 3), np.uint8))
    except Overloaded as error:
        raise PackError(
            f"{pack.pack.name}: batches of this pack do not fit into the device's memory; free some, or "
            "choose another device or a smaller pack"
        ) from error
