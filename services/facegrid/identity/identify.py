"""Identify: who of one or several galleries is this (1:N)."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from facegrid.domain.calls import Call
from facegrid.domain.detection import SERVER_DEFAULT, DetectionOptions
from facegrid.domain.errors import GalleryNotFound, InvalidField, SubjectNotFound, TemplateVersionMismatch
from facegrid.domain.faces import FaceSelection, Floats
from facegrid.domain.filters import UNRESTRICTED, Restriction
from facegrid.domain.galleries import Gallery
from facegrid.domain.matching import Hit, check_top, is_match
from facegrid.domain.names import check_name
from facegrid.domain.packs import Threshold
from facegrid.domain.revisions import revision_from_token
from facegrid.domain.templates import SentTemplate, pool_templates
from facegrid.identity.deadlines import STORE_LATE, before
from facegrid.identity.extract import Extract, ExtractedFace, Extraction
from facegrid.identity.galleries import Galleries
from facegrid.identity.ports import Records
from facegrid.identity.projection import Projection
from facegrid.identity.searching import EVERYWHERE, Scope, SearchReport
from facegrid.identity.shadow import Shadow
from facegrid.identity.subjects import find_searched
from facegrid.identity.watching import WatchSearches


@dataclass(frozen=True, slots=True)
class Identified:
    """One face that was searched, and its candidates: subjects, best first.

    It matches where a candidate reaches the threshold of its gallery.
    """

    face: ExtractedFace
    candidates: list[Hit]
    matched: bool


@dataclass(frozen=True, slots=True)
class Identification:
    """The faces that were searched, and what they were searched in."""

    results: list[Identified]
    report: SearchReport
    other_reports: list[SearchReport]


class Identify:
    """Searches galleries."""

    def __init__(
        self,
        galleries: Galleries,
        extract: Extract,
        records: Records,
        projection: Projection,
        shadow: Shadow,
        *,
        watch: WatchSearches,
    ) -> None:
        """Take the galleries, extraction, records, projection, and what some searches are shown to."""
        self._galleries, self._extract, self._shadow = galleries, extract, shadow
        self._records, self._projection, self._watch = records, projection, watch

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
        probe_subject_id: str = "",
        scope: Scope = EVERYWHERE,
    ) -> Identification:
        """Return the candidates of each face that is meant; several probes show one person.

        In place of probes an existing subject may be searched for, who is no candidate then.
        Raises InvalidField, SubjectNotFound, TemplateVersionMismatch, RevisionNotReached, IndexLoading and
        the errors of extraction.
        """
        check_top(top)
        scope.check(gallery_name)
        _check_probes(probes, probe_subject_id, selection)
        gallery, pack = await self._galleries.get_with_pack(gallery_name)
        galleries = [
            gallery,
            *[
                await self._other(gallery, name, f"other_galleries[{number}]")
                for number, name in enumerate(scope.other_galleries)
            ],
        ]
        revision = revision_from_token(gallery, min_revision) if min_revision else 0
        if probe_subject_id:
            extractions = await self._stored(call, gallery, probe_subject_id)
        else:
            extractions = await self._extract.from_sources(probes, pack, selection, "probes", detection)
        faces = _probe_faces(extractions)
        async with before(call.deadline, STORE_LATE):
            await self._check_subjects(galleries, scope.subject_ids)
        vectors = np.stack([face.template.vector for face in faces])
        searches = [
            self._search(call, gallery, vectors, top, revision, scope.restriction(probe_subject_id)),
            *(self._search(call, other, vectors, top, 0, scope.restriction()) for other in galleries[1:]),
        ]
        found = await asyncio.gather(*searches)
        reports = [_timed(report, extractions) for report, _ in found]
        thresholds = {one.name: one.thresholds.identify for one in galleries}
        results = [
            _identified(face, hits, thresholds, top, include_below_threshold)
            for face, *hits in zip(faces, *(hits for _, hits in found), strict=True)
        ]
        if scope == EVERYWHERE and probes:
            matched = [_match(hits, gallery.thresholds.identify) for hits in found[0][1]]
            self._shadow.observe(gallery, probes, detection, list(zip(faces, matched, strict=True)))
        return Identification(results, reports[0], reports[1:])

    async def _other(self, gallery: Gallery, name: str, field: str) -> Gallery:
        """Return another gallery to search, whose templates compare with the first one's."""
        try:
            other = await self._galleries.get(name)
        except (InvalidField, GalleryNotFound) as error:
            error.field = field
            raise
        if other.template_version != gallery.template_version:
            raise TemplateVersionMismatch(
                f"gallery {name} holds templates of {other.template_version!r} and gallery {gallery.name} of "
                f"{gallery.template_version!r}; search them in two calls",
                field=field,
            )
        return other

    async def _stored(self, call: Call, gallery: Gallery, subject_id: str) -> list[Extraction]:
        """Return the templates of a subject as those of probes."""
        async with before(call.deadline, STORE_LATE):
            subject = await find_searched(self._records, gallery, subject_id, "probe_subject_id")
        samples = [sample for encounter in subject.encounters for sample in encounter.samples]
        return [Extraction([ExtractedFace(None, sample.template)]) for sample in samples]

    async def _check_subjects(self, galleries: Sequence[Gallery], subject_ids: Sequence[str]) -> None:
        """Raise SubjectNotFound for the first subject that no gallery has."""
        known = await asyncio.gather(*(self._is_subject(galleries, one) for one in subject_ids))
        if not all(known):
            place = known.index(False)
            raise SubjectNotFound(
                f"no gallery of the request has a subject {subject_ids[place]}; enrol it, or leave it out",
                field=f"subject_ids[{place}]",
            )

    async def _is_subject(self, galleries: Sequence[Gallery], subject_id: str) -> bool:
        if any(self._projection.has_subject(one, subject_id) for one in galleries):
            return True
        return any([await self._records.subject(one, subject_id) for one in galleries])

    async def _search(  # noqa: PLR0917  # as many as a search has
        self, call: Call, gallery: Gallery, probes: Floats, top: int, revision: int, restriction: Restriction
    ) -> tuple[SearchReport, list[list[Hit]]]:
        start = time.perf_counter()
        await self._projection.reach(gallery, revision, call.deadline)
        seen, subjects = self._projection.revision(gallery), self._projection.subject_count(gallery)
        async with before(call.deadline, "the index did not answer in time; retry later"):
            found = await self._projection.search(gallery, probes, top, restriction)
        if restriction == UNRESTRICTED:
            self._watch.offer(gallery, probes, found)
        exact, took = self._projection.is_exact(gallery), 1000 * (time.perf_counter() - start)
        named = [[replace(hit, gallery=gallery.name) for hit in hits] for hits in found]
        return SearchReport(gallery, seen, subjects, exact, search_ms=took), named


def _match(hits: Sequence[Hit], threshold: Threshold) -> str:
    """Return the subject that a search matched, "" for none."""
    return hits[0].subject_id if hits and is_match(hits[0].score, threshold) else ""


def _check_probes(probes: Sequence[object], probe_subject_id: str, selection: FaceSelection) -> None:
    if probe_subject_id:
        check_name(probe_subject_id, "probe_subject_id")
    if probe_subject_id and probes:
        raise InvalidField("probe_subject_id takes the place of probes; send one of them", field="probes")
    if len(probes) > 1 and selection is FaceSelection.ALL:
        raise InvalidField(
            "faces is ALL with several probes, which are of one person; use EXACTLY_ONE or LARGEST",
            field="faces",
        )


def _probe_faces(extractions: list[Extraction]) -> list[ExtractedFace]:
    if len(extractions) == 1:
        return extractions[0].faces
    faces = [extraction.faces[0] for extraction in extractions]
    return [ExtractedFace(faces[0].face, pool_templates([face.template for face in faces]))]


def _timed(report: SearchReport, extractions: Sequence[Extraction]) -> SearchReport:
    return replace(
        report,
        detect_ms=sum(one.detect_ms for one in extractions),
        embed_ms=sum(one.embed_ms for one in extractions),
    )


def _identified(
    face: ExtractedFace,
    found: Sequence[Sequence[Hit]],
    thresholds: Mapping[str, Threshold],
    top: int,
    below_threshold: bool,
) -> Identified:
    """Put the candidates of several galleries in one order."""
    hits = sorted(
        (hit for hits in found for hit in hits), key=lambda hit: (-hit.score, hit.subject_id, hit.gallery)
    )
    matching = [hit for hit in hits if is_match(hit.score, thresholds[hit.gallery])]
    candidates = (hits if below_threshold else matching)[:top]
    return Identified(face, candidates, matched=any(hit in matching for hit in candidates))
