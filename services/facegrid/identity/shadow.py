"""Shadow searches: live probes compared in both galleries of a migration, behind the answers."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress

from facegrid.domain.detection import DetectionOptions
from facegrid.domain.errors import ConfigurationError, FacegridError
from facegrid.domain.galleries import Gallery, MigrationState
from facegrid.domain.matching import is_match
from facegrid.domain.migrations import ShadowCounts
from facegrid.domain.templates import SentTemplate, cosine
from facegrid.identity.extract import Extract, ExtractedFace
from facegrid.identity.galleries import Galleries
from facegrid.identity.ports import Records
from facegrid.identity.projection import Projection


class Shadow:
    """Repeats a share of the searches in a gallery's twin and counts where the decisions differ.

    One search is repeated at a time and those that come meanwhile are not, so that no answer waits for it.
    Nothing is kept of a probe; the counts end with the process.
    """

    def __init__(
        self,
        galleries: Galleries,
        extract: Extract,
        records: Records,
        projection: Projection,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Take the galleries, the extraction, the records, the projection, and a source of chance."""
        self._galleries, self._extract, self._records = galleries, extract, records
        self._projection, self._chance = projection, chance
        self._counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._task: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Break off what is repeated now, when no more searches come."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    def counts(self, gallery: Gallery) -> ShadowCounts:
        """Return what was counted while the gallery was searched and its twin repeated it."""
        return ShadowCounts(**self._counts[_pair(gallery)]) if gallery.twin else ShadowCounts()

    def observe(
        self,
        gallery: Gallery,
        probes: Sequence[bytes | SentTemplate],
        detection: DetectionOptions,
        answers: Sequence[tuple[ExtractedFace, str]],
        *,
        claimed: str = "",
    ) -> None:
        """Take note of the faces of a search, each with the subject that it matched, "" for none.

        `claimed` is the subject where only one was compared. Only single photographs are repeated.
        """
        moving, probe = gallery.migration, probes[0]
        busy = self._task and not self._task.done()
        if busy or len(probes) > 1 or isinstance(probe, SentTemplate):
            return
        if moving and moving.state is not MigrationState.COPYING and self._chance() < moving.shadow:
            self._task = asyncio.create_task(self._repeat(gallery, probe, detection, answers, claimed))

    async def _repeat(
        self,
        gallery: Gallery,
        photograph: bytes,
        detection: DetectionOptions,
        answers: Sequence[tuple[ExtractedFace, str]],
        claimed: str,
    ) -> None:
        twin, counts = gallery.twin, self._counts[_pair(gallery)]
        seen = [(face.face.box, subject) for face, subject in answers if face.face]
        if twin is None:
            return
        with suppress(FacegridError, ConfigurationError):
            boxes, pack = [box for box, _ in seen], self._galleries.pack_of(twin)
            faces = await self._extract.faces_at(photograph, pack, boxes, detection)
            for face, (_, subject) in zip(faces, seen, strict=True):
                counts[
                    _difference(subject, await self._match(twin, face, claimed)) if face else "unseen"
                ] += 1

    async def _match(self, twin: Gallery, face: ExtractedFace, claimed: str) -> str:
        """Return the subject that the twin matches, "" for none."""
        if claimed:
            subject = await self._records.subject(twin, claimed)
            encounters = [one for one in subject.encounters if one.labels.searched] if subject else []
            samples = [sample.template for encounter in encounters for sample in encounter.samples]
            scores = [cosine(face.template, template) for template in samples]
            return claimed if is_match(max(scores, default=-1.0), twin.thresholds.verify) else ""
        await self._projection.ready(twin)
        (hits,) = await self._projection.search(twin, face.template.vector[None], 1)
        return hits[0].subject_id if hits and is_match(hits[0].score, twin.thresholds.identify) else ""


def _pair(gallery: Gallery) -> tuple[str, str]:
    return gallery.gallery_id, gallery.twin.gallery_id if gallery.twin else ""


def _difference(answered: str, repeated: str) -> str:
    if answered == repeated:
        return "agreed"
    if answered and repeated:
        return "other_subject"
    return "lost" if answered else "gained"
