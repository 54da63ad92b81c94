"""Two samples without a gallery: the same person or not."""

import asyncio
from dataclasses import dataclass

from facegrid.domain.detection import SERVER_DEFAULT, DetectionOptions
from facegrid.domain.faces import FaceSelection
from facegrid.domain.packs import Threshold
from facegrid.domain.templates import SentTemplate, cosine
from facegrid.identity.extract import Extract, ExtractedFace, one_face_only


@dataclass(frozen=True, slots=True)
class Comparison:
    """The score of two faces and what it is held against."""

    score: float
    threshold: Threshold
    first: ExtractedFace
    second: ExtractedFace


class Compare:
    """Scores two samples, one face each."""

    def __init__(self, extract: Extract) -> None:
        """Take the extraction."""
        self._extract = extract

    async def __call__(
        self,
        first: bytes | SentTemplate,
        second: bytes | SentTemplate,
        selection: FaceSelection,
        pack_name: str,
        detection: DetectionOptions = SERVER_DEFAULT,
    ) -> Comparison:
        """Return the comparison under the pack's threshold for 1:1; errors as those of extraction."""
        pack, selection = self._extract.pack(pack_name), one_face_only(selection)
        (one,), (other,) = [
            extraction.faces
            for extraction in await asyncio.gather(
                self._extract.from_source(first, pack, selection, "first", detection),
                self._extract.from_source(second, pack, selection, "second", detection),
            )
        ]
        score = cosine(one.template, other.template)
        return Comparison(score, pack.thresholds.verify, one, other)
