"""Photograph to templates: the step that every other use case begins with."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from facegrid.domain.detection import SERVER_DEFAULT, DetectionOptions
from facegrid.domain.errors import FacegridError, InvalidField
from facegrid.domain.faces import Box, DetectedFace, Detection, FaceSelection, face_at, select_faces
from facegrid.domain.galleries import MAX_SAMPLES
from facegrid.domain.packs import Pack
from facegrid.domain.quality import template_norm_measures
from facegrid.domain.templates import SentFace, SentTemplate, Template, template_from_client
from facegrid.identity.ports import Detector, Embedder, Packs

Source: TypeAlias = bytes | SentTemplate | SentFace  # what a client sends of one face


@dataclass(frozen=True, slots=True)
class ExtractedFace:
    """A face and its template; `face` is None where a client sent the template itself."""

    face: DetectedFace | None
    template: Template


@dataclass(frozen=True, slots=True)
class Extraction:
    """The faces that were meant in one source, best detection first, and where the time went.

    `photograph` is None where the source was a template.
    """

    faces: list[ExtractedFace]
    photograph: bytes | None = field(default=None, repr=False)
    detect_ms: float = 0.0
    embed_ms: float = 0.0


class Extract:
    """Finds faces and makes their templates."""

    def __init__(
        self,
        packs: Packs,
        detector: Detector,
        embedder: Embedder,
        default_pack: str,
        smallest_face_px: float,
        *,
        detection: DetectionOptions = SERVER_DEFAULT,
    ) -> None:
        """Take the ports, the size below which no face counts, and what serves requests that name nothing."""
        self._packs, self._detector, self._embedder = packs, detector, embedder
        self._default_pack, self._smallest_face_px = default_pack, smallest_face_px
        self._detection = detection

    def pack(self, name: str) -> Pack:
        """Return the named pack, the default one for an empty name. Raises PackNotFound."""
        return self._packs.pack(name or self._default_pack)

    async def detect(
        self, photograph: bytes, pack_name: str, options: DetectionOptions = SERVER_DEFAULT
    ) -> Detection:
        """Return all faces of a photograph, however small."""
        with naming("photograph"):
            return await self._detect(photograph, self.pack(pack_name), (), options)

    async def faces(
        self,
        photograph: bytes,
        pack: Pack,
        selection: FaceSelection,
        alignments: Sequence[str],
        options: DetectionOptions,
    ) -> list[DetectedFace]:
        """Return the faces that are meant, each with a crop of each alignment; errors as below."""
        detection = await self._detect(photograph, pack, alignments, options)
        return select_faces(detection.faces, selection, self._smallest_face_px)

    async def from_photograph(
        self, photograph: bytes, pack: Pack, selection: FaceSelection, options: DetectionOptions
    ) -> Extraction:
        """Return the faces that are meant, with templates.

        Raises InvalidPhotograph, PhotographTooLarge, NoFaceFound, ManyFacesFound and FaceTooSmall.
        """
        start = time.perf_counter()
        faces = await self.faces(photograph, pack, selection, [pack.alignment], options)
        detected = time.perf_counter()
        crops = np.stack([face.crops[pack.alignment] for face in faces])
        templates = await self._embedder.embed(crops, pack.name)
        embedded = time.perf_counter()
        return Extraction(
            [extracted(face, template, pack) for face, template in zip(faces, templates, strict=True)],
            photograph,
            1000 * (detected - start),
            1000 * (embedded - detected),
        )

    async def faces_at(
        self, photograph: bytes, pack: Pack, boxes: Sequence[Box], options: DetectionOptions
    ) -> list[ExtractedFace | None]:
        """Return the faces that another pack put into these boxes, None for each that this one does not see.

        Raises InvalidPhotograph and PhotographTooLarge.
        """
        detection = await self._detect(photograph, pack, [pack.alignment], options)
        faces = [face_at(detection.faces, box) for box in boxes]
        seen = [face for face in faces if face]
        if not seen:
            return [None for _ in boxes]
        crops = np.stack([face.crops[pack.alignment] for face in seen])
        templates = iter(await self._embedder.embed(crops, pack.name))
        return [extracted(face, next(templates), pack) if face else None for face in faces]

    async def face_at(self, photograph: bytes, pack: Pack, box: Box) -> ExtractedFace | None:
        """Do so for one face, which is looked for more closely where it is not seen at once."""
        closely = max(self._smallest_face_px, box.shorter_side / 2)
        for options in (SERVER_DEFAULT, DetectionOptions(smallest_face_px=closely, any_rotation=True)):
            (face,) = await self.faces_at(photograph, pack, [box], options)
            if face:
                return face
        return None

    async def _detect(
        self, photograph: bytes, pack: Pack, alignments: Sequence[str], options: DetectionOptions
    ) -> Detection:
        resolved = options.resolved(self._detection, self._smallest_face_px)
        return await self._detector.detect(photograph, pack.name, alignments, resolved)

    async def from_source(
        self,
        source: Source,
        pack: Pack,
        selection: FaceSelection,
        field_name: str,
        options: DetectionOptions = SERVER_DEFAULT,
    ) -> Extraction:
        """Return what a client's sample holds; an error names `field_name`."""
        with naming(field_name):
            if isinstance(source, bytes):
                return await self.from_photograph(source, pack, selection, options)
            if isinstance(source, SentFace):
                template = template_from_client(source.template, pack.template_version, pack.dimension)
                return Extraction([ExtractedFace(source.face, template)], source.photograph)
            template = template_from_client(source, pack.template_version, pack.dimension)
            return Extraction([ExtractedFace(None, template)])

    async def from_sources(
        self,
        sources: Sequence[Source],
        pack: Pack,
        selection: FaceSelection,
        field_name: str,
        options: DetectionOptions = SERVER_DEFAULT,
    ) -> list[Extraction]:
        """Return what 1 to 32 samples hold, all or none."""
        if not 1 <= len(sources) <= MAX_SAMPLES:
            raise InvalidField(
                f"{field_name} has {len(sources)} entries; send 1 to {MAX_SAMPLES}", field=field_name
            )
        jobs = [
            self.from_source(source, pack, selection, f"{field_name}[{number}]", options)
            for number, source in enumerate(sources)
        ]
        return await asyncio.gather(*jobs)


def extracted(face: DetectedFace, template: Template, pack: Pack) -> ExtractedFace:
    """Join a face and its template: without crops, and with what the template's norm tells of quality."""
    quality = (*face.quality, *template_norm_measures(template.norm, pack))
    return ExtractedFace(replace(face, quality=quality, crops={}), template)


@contextmanager
def naming(field_name: str) -> Iterator[None]:
    """Let an error say which field of the request it is about."""
    try:
        yield
    except FacegridError as error:
        error.field = error.field or field_name
        raise


def one_face_only(selection: FaceSelection) -> FaceSelection:
    """Return the selection where it picks one face. Raises InvalidField for ALL."""
    if selection is FaceSelection.ALL:
        raise InvalidField("faces is ALL; here it is EXACTLY_ONE or LARGEST", field="faces")
    return selection
