"""The stages of an extraction on Ray Data, each a class of actors: what the tiers do, in batches."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import ray

from facegrid.domain.detection import DetectionOptions
from facegrid.domain.errors import ConfigurationError
from facegrid.domain.faces import DetectedFace, FaceSelection
from facegrid.gateway.convert_extracted import extracted_to_proto
from facegrid.identity.extract import extracted, one_face_only
from facegrid.serving.engines import build_engine, build_extract, on_what_it_has
from facegrid.settings import Settings
from facegrid.vision.engine import VisionEngine

_TRIES = 2  # of a batch in which detectors died; then the server gets its photographs as they are

ReadPhotograph: TypeAlias = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked of every photograph; `gpu` is the share of one that an actor with models has."""

    pack: str
    template_version: str
    selection: FaceSelection
    options: DetectionOptions
    gpu: float = 0


@dataclass(frozen=True, slots=True)
class Work:
    """A photograph by its row and name, and what has been made of it.

    `unread` says why it could not be read, `fault` why no photograph can be worked on. `extracted` is an
    ExtractedFace of the API, empty where there is none.
    """

    row: int
    name: str
    photograph: bytes = field(default=b"", repr=False)
    unread: str = ""
    face: DetectedFace | None = None
    extracted: bytes = field(default=b"", repr=False)
    fault: str = ""


class _Stage(ABC):
    """Does one step for a batch of photographs; whatever keeps it from all work is told with each."""

    def __init__(self, *arguments: Any) -> None:
        """Start, once in each actor."""
        self._fault = ""
        try:
            asyncio.run(self._start(*arguments))
        except Exception as error:  # noqa: BLE001  # raised here it would be a trace of Ray's
            self._fault = str(error)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Do the step."""
        works: list[Work] = batch["work"].tolist()
        if self._fault:
            return _batch([replace(work, fault=self._fault) for work in works])
        return _batch(asyncio.run(self._run(works)))

    @abstractmethod
    async def _start(self, *arguments: Any) -> None: ...

    @abstractmethod
    async def _run(self, works: list[Work]) -> list[Work]: ...


class Reader(_Stage):
    """Names to photographs."""

    async def _start(self, open_source: Callable[[], ReadPhotograph]) -> None:
        self._read = open_source()

    async def _run(self, works: list[Work]) -> list[Work]:
        return [self._one(work) for work in works]

    def _one(self, work: Work) -> Work:
        try:
            return replace(work, photograph=self._read(work.name))
        except OSError as error:
            return replace(work, unread=error.strerror or str(error))


class Detector(_Stage):
    """Photographs to faces and their crops."""

    async def _start(self, task: Task) -> None:
        settings, engine = Settings(), _engine(task)
        self._task, self._pack = task, engine.pack(task.pack)
        if self._pack.template_version != task.template_version:
            raise ConfigurationError(
                f"pack {task.pack} is {self._pack.template_version} there and {task.template_version} in the "
                "gallery; give all nodes the pack that the server has"
            )
        await engine.warm_detector(task.pack)
        self._extract = build_extract(settings, engine)

    async def _run(self, works: list[Work]) -> list[Work]:
        if _earlier_tries() >= _TRIES:
            return works
        return await asyncio.gather(*map(self._one, works))

    async def _one(self, work: Work) -> Work:
        if work.fault or work.unread:
            return work
        task, pack = self._task, self._pack
        try:
            selection = one_face_only(task.selection)
            alignments = [pack.alignment]
            (face,) = await self._extract.faces(work.photograph, pack, selection, alignments, task.options)
        except Exception:  # noqa: BLE001  # the server says what is wrong with the photograph
            return work
        return replace(work, face=face)


class Embedder(_Stage):
    """Crops to templates."""

    async def _start(self, task: Task) -> None:
        self._engine = _engine(task)
        self._pack = self._engine.pack(task.pack)
        await self._engine.warm_embedder(task.pack)

    async def _run(self, works: list[Work]) -> list[Work]:
        return await asyncio.gather(*map(self._one, works))

    async def _one(self, work: Work) -> Work:
        if work.face is None:
            return work
        crop = work.face.crops[self._pack.alignment]
        try:
            (template,) = await self._engine.embed(crop[np.newaxis], self._pack.name)
        except Exception:  # noqa: BLE001  # likewise
            return replace(work, face=None)
        message = extracted_to_proto(extracted(work.face, template, self._pack))
        return replace(work, face=None, extracted=message.SerializeToString())


def _engine(task: Task) -> VisionEngine:
    return build_engine(on_what_it_has(Settings(), {"GPU": task.gpu}), workers=1)


def _batch(works: Sequence[Work]) -> dict[str, Any]:
    column = np.empty(len(works), object)
    column[:] = works
    return {"work": column}


def _earlier_tries() -> int:
    """Return how often this batch was begun before, by actors that died."""
    worker: Any = ray._private.worker.global_worker  # noqa: SLF001  # Ray Data bounds tries no more
    return int(worker.core_worker.get_current_task_attempt_number())
