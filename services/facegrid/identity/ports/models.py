"""What the use cases need of models."""

from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.attributes import Attribute, FaceAttributes
from facegrid.domain.detection import DetectionOptions
from facegrid.domain.faces import DetectedFace, Detection
from facegrid.domain.packs import Pack
from facegrid.domain.templates import Template


class Packs(Protocol):
    """The model packs that this server holds."""

    def pack(self, name: str) -> Pack:
        """Return a pack. Raises PackNotFound."""
        ...


class Detector(Protocol):
    """Finds faces."""

    async def detect(
        self, photograph: bytes, pack: str, alignments: Sequence[str], options: DetectionOptions
    ) -> Detection:
        """Decode the photograph, find its faces and cut one crop for each face and alignment.

        Raises InvalidPhotograph, PhotographTooLarge and PackNotFound.
        """
        ...


class Embedder(Protocol):
    """Turns aligned crops into templates."""

    async def embed(self, crops: NDArray[np.uint8], pack: str) -> list[Template]:
        """Return a template for each crop of uint8 RGB (N, side, side, 3). Raises PackNotFound."""
        ...


class AttributeReader(Protocol):
    """Reads of faces what is not their identity."""

    async def read(
        self, faces: Sequence[DetectedFace], pack: str, attributes: Collection[Attribute]
    ) -> list[FaceAttributes]:
        """Return the attributes of each face, which carries the crops that the pack reads them off.

        The faces are those of one photograph, the attributes some of the pack's. Raises PackNotFound.
        """
        ...
