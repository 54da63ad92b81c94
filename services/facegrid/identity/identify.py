"""Identify: who of a gallery is this (1:N)."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facegrid.domain.calls import Call
from facegrid.domain.detection import SERVER_DEFAULT, DetectionOptions
from facegrid.domain.errors import InvalidField
from facegrid.domain.faces import FaceSelection
from facegrid.domain.matching import Hit, check_top, is_match
from facegrid.domain.revisions import revision_from_token
from facegrid.domain.templates import SentTemplate, pool_templates
from facegrid.identity.deadlines import before
from facegrid.identity.extract import Extract, ExtractedFace, Extraction
from facegrid.identity.galleries import Galleries
from facegrid.identity.projection import Projection
from facegrid.identity.searching import SearchReport
from facegrid.identity.watching import WatchSearches


@dataclass(frozen=True, slots=True)
class Identified:
    """One face that was searched, and its candidates: subjects, best first."""

    face: ExtractedFace
    candidates: list[Hit]


@dataclass(frozen=True, slots=True)
class Identification:
    """The faces that were searched, and what they were searched in."""

    results: list[Identified]
    report: SearchReport


class Identify:
    """Searches a gallery."""

    def __init__(
        self, galleries: Galleries, extract: Extract, projection: Projection, watch: WatchSearches
    ) -> None:
        """Take the galleries, the extraction, the projection, and what some searches are offered to."""
        self._galleries, self._extract, self._projection = galleries, extract, projection
        self._watch = watch

    async def __call__(
        self,
        call: Call,
        gallery_name: str,
        probes: Sequence[bytes | SentTemplate],
        selection: FaceSelection,
        *,
        top: int,
        include_below_threshold: bool,
        min_revision: str,
        detection: DetectionOptions = SERVER_DEFAULT,
    ) -> Identification:
        """Return the candidates of each face that is meant; several probes show one person.

        Raises InvalidField, RevisionNotReached, IndexLoading and the errors of extraction.
        """
        check_top(top)
        if len(probes) > 1 and selection is FaceSelection.ALL:
            raise InvalidField(
                "faces is ALL with several probes, which are of one person; use EXACTLY_ONE or LARGEST",
                field="faces",
            )
        gallery, pack = await self._galleries.get_with_pack(gallery_name)
        revision = revision_from_token(gallery.gallery_id, min_revision) if min_revision else 0
        extractions = await self._extract.from_sources(probes, pack, selection, "probes", detection)
        faces = _probe_faces(extractions)
        start = time.perf_counter()
        await self._projection.reach(gallery, revision, call.deadline)
        report_revision = self._projection.revision(gallery)
        report_subjects = self._projection.subject_count(gallery)
        vectors = np.stack([face.template.vector for face in faces])
        async with before(call.deadline, "the index did not answer in time; retry later"):
            found = await self._projection.search(gallery, vectors, top)
        self._watch.offer(gallery, vectors, found)
        threshold = gallery.thresholds.identify
        results = [
            Identified(
                face, [hit for hit in hits if include_below_threshold or is_match(hit.score, threshold)]
            )
            for face, hits in zip(faces, found, strict=True)
        ]
        return Identification(
            results,
            SearchReport(
                gallery,
                report_revision,
                report_subjects,
                self._projection.is_exact(gallery),
                detect_ms=sum(one.detect_ms for one in extractions),
                embed_ms=sum(one.embed_ms for one in extractions),
                search_ms=1000 * (time.perf_counter() - start),
            ),
        )


def _probe_faces(extractions: list[Extraction]) -> list[ExtractedFace]:
    if len(extractions) == 1:
        return extractions[0].faces
    faces = [extraction.faces[0] for extraction in extractions]
    return [ExtractedFace(faces[0].face, pool_templates([face.template for face in faces]))]
