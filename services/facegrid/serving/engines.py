"""What finds faces and reads them, made as the settings say, wherever it runs."""

from collections.abc import Mapping
from typing import Protocol

import structlog

from facegrid.domain.detection import DetectionMode, DetectionOptions
from facegrid.identity.extract import Extract
from facegrid.identity.ports import AttributeReader, Detector, Embedder, Packs
from facegrid.serving.memory import return_freed_memory
from facegrid.settings import Settings
from facegrid.vision.decode import PhotographLimits
from facegrid.vision.device import choose_device
from facegrid.vision.engine import BATCHES, VisionEngine
from facegrid.vision.packs import PackFolder

# The layers of small models give more threads than these little to share.
_MOST_RUN_THREADS = 4


class Vision(Packs, Detector, Embedder, AttributeReader, Protocol):
    """All that models are asked for, wherever they run."""

    async def warm(self, pack: str) -> None:
        """Make ready for a pack's first call. Raises PackNotFound and ConfigurationError."""
        ...


def build_engine(settings: Settings, workers: int) -> VisionEngine:
    """Make what runs models in this process; `workers` is how many CPUs it may use."""
    return_freed_memory(workers)
    device = choose_device(
        settings.device, half_precision=settings.half_precision, memory_mib=settings.cuda_memory_mib
    )
    structlog.get_logger().info("models run on", device=device.kind, cores=workers)
    return VisionEngine(
        PackFolder(settings.models, threads=min(workers, _MOST_RUN_THREADS), device=device),
        PhotographLimits(settings.max_photograph_bytes, settings.max_photograph_pixels),
        workers=workers,
        batches=BATCHES[device.kind],
        smallest_face_px=settings.smallest_face_px,
    )


def on_what_it_has(settings: Settings, resources: Mapping[str, float]) -> Settings:
    """Return settings with the device of a replica: CUDA with a share of a GPU, else the CPU.

    So a replica whose GPU fails does not start, instead of being slow. A device that was set stays.
    """
    if "device" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"device": "cuda" if resources.get("GPU") else "cpu"})


def build_extract(settings: Settings, vision: Vision) -> Extract:
    """Make what finds faces, as the settings say where requests say nothing."""
    detection = DetectionOptions(DetectionMode(settings.detection), any_rotation=settings.any_rotation)
    return Extract(vision, vision, vision, settings.pack, settings.smallest_face_px, detection=detection)
