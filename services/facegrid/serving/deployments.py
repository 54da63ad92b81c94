"""What the processes of a Ray cluster do: the tiers run models, the gateway everything else.

How many of each there are, and on what, stands in the Serve configuration (`deploy/serve.yaml`) alone.
Every process reads its settings from its own environment, so that no secret travels through Ray.
"""

from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import ray
from numpy.typing import NDArray

from facegrid.domain.attributes import Attribute, FaceAttributes
from facegrid.domain.detection import DetectionOptions
from facegrid.domain.errors import ConfigurationError, FacegridError
from facegrid.domain.faces import DetectedFace, Detection
from facegrid.domain.templates import Template
from facegrid.log import configure_log
from facegrid.serving.handles import Answer, Handle, RayVision
from facegrid.serving.local import check_addresses, running
from facegrid.serving.security import open_security
from facegrid.serving.wiring import build_engine
from facegrid.settings import Settings
from facegrid.vision.engine import VisionEngine
from facegrid.vision.packs import PackFolder

_Result = TypeVar("_Result")


class Detector:
    """Photographs to faces and their crops; holds detectors alone."""

    async def __init__(self, settings: Mapping[str, Any]) -> None:  # type: ignore[misc]  # Serve awaits it
        """Load the default pack's detector; `settings` stand above the environment. Raises PackError."""
        self._engine = _build_engine(settings)
        await self._engine.warm_detector(_settings(settings).pack)

    async def detect(
        self, photograph: bytes, pack: str, alignments: Sequence[str], options: DetectionOptions
    ) -> Answer[Detection]:
        """Find faces, as the port says."""
        return await _answer(self._engine.detect(photograph, pack, alignments, options))


class Embedder:
    """Crops to templates; holds embedders alone."""

    async def __init__(self, settings: Mapping[str, Any]) -> None:  # type: ignore[misc]  # Serve awaits it
        """Load the default pack's embedder; `settings` stand above the environment. Raises PackError."""
        self._engine = _build_engine(settings)
        await self._engine.warm_embedder(_settings(settings).pack)

    async def embed(self, crops: NDArray[np.uint8], pack: str) -> Answer[list[Template]]:
        """Make templates, as the port says."""
        return await _answer(self._engine.embed(crops, pack))


class Attributes:
    """Crops to attributes; holds attribute models alone."""

    async def __init__(self, settings: Mapping[str, Any]) -> None:  # type: ignore[misc]  # Serve awaits it
        """Load the default pack's models; `settings` stand above the environment. Raises PackError."""
        self._engine = _build_engine(settings)
        await self._engine.warm_attributes(_settings(settings).pack)

    async def read(
        self, faces: Sequence[DetectedFace], pack: str, attributes: Collection[Attribute]
    ) -> Answer[list[FaceAttributes]]:
        """Read faces, as the port says."""
        return await _answer(self._engine.read(faces, pack, attributes))


class Gateway:
    """The gRPC server with its records and its index, on a port of its own."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self,
        settings: Mapping[str, Any],
        listen: str,
        detector: Handle,
        embedder: Handle,
        attributes: Handle,
        *,
        insecure: bool,
    ) -> None:
        """Serve as soon as the index is filled. Raises ConfigurationError."""
        read = _settings(settings)
        check_addresses(listen, read, insecure=insecure)
        security = open_security(read)
        vision = RayVision(PackFolder(read.models), detector, embedder, attributes)
        self._running = running(read, listen, vision, security)
        self._address = await self._running.__aenter__()

    async def address(self) -> str:
        """Return where it listens."""
        return self._address

    async def __del__(self) -> None:
        """Drain; Serve calls this before it ends a replica."""
        await self._running.__aexit__(None, None, None)


async def _answer(work: Awaitable[_Result]) -> Answer[_Result]:
    # A raised error would reach Serve's log with a trace, and travel with it.
    try:
        return await work
    except (FacegridError, ConfigurationError) as error:
        return error


def _settings(given: Mapping[str, Any]) -> Settings:
    configure_log(json=True)
    return Settings(**given)


def _build_engine(given: Mapping[str, Any]) -> VisionEngine:
    context: Any = ray.get_runtime_context()
    resources: Mapping[str, float] = context.get_assigned_resources()
    settings = on_what_it_has(_settings(given), resources)
    return build_engine(settings, max(1, int(resources.get("CPU", 1))))


def on_what_it_has(settings: Settings, resources: Mapping[str, float]) -> Settings:
    """Return settings with the device of a replica: CUDA with a share of a GPU, else the CPU.

    So a replica whose GPU fails does not start, instead of being slow. A device that was set stays.
    """
    if "device" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"device": "cuda" if resources.get("GPU") else "cpu"})
