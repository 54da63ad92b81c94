"""From crops around a face's box to what InsightFace's models of one table read of it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from facegrid.domain.attributes import FaceAttributes, GenderPresentation
from facegrid.domain.faces import Box, DetectedFace, Floats
from facegrid.vision.manifest import AttributeManifest, PackError
from facegrid.vision.session import Session


class AttributeModel(ABC):
    """A model whose output for a face is one row of `length` numbers."""

    kind: ClassVar[str]
    length: ClassVar[int]

    def __init__(self, session: Session, manifest: AttributeManifest) -> None:
        """Check the model against its kind. Raises PackError."""
        if [shape[-1] for shape in session.output_shapes] != [self.length]:
            raise PackError(
                f"{manifest.model.path} has outputs of shape {session.output_shapes} and a model of kind "
                f"{self.kind} has one of {self.length} numbers; correct the manifest or give another file"
            )
        self._session = session
        self._alignment, self._side = manifest.alignment, manifest.side
        self._mean, self._std = np.float32(manifest.mean), np.float32(manifest.std)

    def read(self, faces: Sequence[DetectedFace]) -> list[FaceAttributes]:
        """Return what is read of each face, which carries its crop; all go through the model at once."""
        crops = np.stack([face.crops[self._alignment] for face in faces])
        blob = crops.transpose(0, 3, 1, 2).astype(np.float32, order="C")
        (rows,) = self._session.run((blob - self._mean) / self._std)
        return [self._decode(row, face.box) for row, face in zip(rows, faces, strict=True)]

    @abstractmethod
    def _decode(self, row: Floats, box: Box) -> FaceAttributes:
        """Return what one row says of the face in the box."""


class GenderAgeModel(AttributeModel):
    """Two logits, feminine first, and the age in centuries."""

    kind, length = "genderage", 3

    def _decode(self, row: Floats, box: Box) -> FaceAttributes:  # noqa: ARG002  # it says nothing of places
        odds = np.exp(row[:2] - row[:2].max())
        feminine, masculine = (odds / odds.sum()).tolist()
        return FaceAttributes(
            age=100 * float(row[2]), gender_presentation=GenderPresentation(feminine, masculine)
        )
