"""The vision layer behind the asynchronous ports of the use cases."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
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
from facegrid.vision.attributes import AttributeModel
from facegrid.vision.batching import MicroBatcher
from facegrid.vision.buckets import buckets
from facegrid.vision.decode import PhotographLimits
from facegrid.vision.detection import Job, detect_all
from facegrid.vision.detectors.contract import FaceDetector
from facegrid.vision.embedder import OnnxEmbedder
from facegrid.vision.manifest import READ_BY_KIND, PackError
from facegrid.vision.packs import PackFolder
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


_PACKS_HELD = 8


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

    A model is loaded at its first use, and those of the eight packs used last are held; manifests are read
    once. Changes on disk count after a restart.
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
        self._detectors = lru_cache(_PACKS_HELD)(self._load_detector)
        self._embedders = lru_cache(_PACKS_HELD)(self._load_embedder)
        self._attribute_models = lru_cache(_PACKS_HELD)(packs.load_attributes)
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
        await self.warm_detector(pack)
        await self.warm_embedder(pack)
        await self.warm_attributes(pack)

    async def warm_detector(self, pack: str) -> None:
        """Load a pack's detector alone."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self._detector, pack)

    async def warm_embedder(self, pack: str) -> None:
        """Load a pack's embedder alone."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self._embedder, pack)

    async def warm_attributes(self, pack: str) -> None:
        """Load a pack's attribute models alone."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self._attributes, pack)

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
        return self._embedder(pack).embed(np.stack(crops))

    def _read(self, pack: str, kind: str, faces: list[DetectedFace]) -> list[FaceAttributes]:
        return self._attributes(pack)[kind].read(faces)

    def _detect(self, pack: str, jobs: list[Job]) -> list[Detection | FacegridError]:
        return detect_all(Search(self._detector(pack), self._smallest_face_px), jobs, self._limits)

    def _detector(self, pack: str) -> FaceDetector:
        with self._loading:
            return self._detectors(pack)

    def _embedder(self, pack: str) -> OnnxEmbedder:
        with self._loading:
            return self._embedders(pack)

    def _attributes(self, pack: str) -> Mapping[str, AttributeModel]:
        with self._loading:
            return self._attribute_models(pack)

    def _load_detector(self, pack: str) -> FaceDetector:
        detector = self._folder.load_detector(pack)
        blank = detector.whole(np.zeros((64, 64, 3), np.uint8))
        with _every_batch_fits(pack):
            for size in buckets(self._batches.detector):
                detector.look([blank] * size)
        return detector

    def _load_embedder(self, pack: str) -> OnnxEmbedder:
        embedder = self._folder.load_embedder(pack)
        side = alignment_named(self.pack(pack).alignment).side
        with _every_batch_fits(pack):
            for size in buckets(self._batches.embedder):
                embedder.features(np.zeros((size, side, side, 3), np.uint8))
        return embedder


@contextmanager
def _every_batch_fits(pack: str) -> Iterator[None]:
    """Blame the pack where a batch needs more memory than the device has, before a request meets it."""
    try:
        yield
    except Overloaded as error:
        raise PackError(
            f"{pack}: batches of this pack do not fit into the device's memory; free some, or choose "
            "another device or a smaller pack"
        ) from error
