"""Verify: is this the person that it is claimed to be (1:1)."""

import time
from dataclasses import dataclass

from facegrid.domain.calls import Call
from facegrid.domain.detection import SERVER_DEFAULT, DetectionOptions
from facegrid.domain.faces import FaceSelection
from facegrid.domain.galleries import Subject
from facegrid.domain.matching import Hit, best_per_subject
from facegrid.domain.revisions import revision_from_token
from facegrid.domain.templates import SentTemplate, Template, cosine
from facegrid.identity.deadlines import before
from facegrid.identity.extract import Extract, ExtractedFace, one_face_only
from facegrid.identity.galleries import Galleries
from facegrid.identity.ports import Records
from facegrid.identity.projection import Projection
from facegrid.identity.searching import SearchReport
from facegrid.identity.subjects import find_subject


@dataclass(frozen=True, slots=True)
class Verification:
    """The best of the subject's samples, the probe's face, and what was searched."""

    best: Hit
    face: ExtractedFace
    report: SearchReport


class Verify:
    """Compares a probe with one subject."""

    def __init__(
        self, galleries: Galleries, extract: Extract, records: Records, projection: Projection
    ) -> None:
        """Take the galleries, the extraction, the records and the projection."""
        self._galleries, self._extract = galleries, extract
        self._records, self._projection = records, projection

    async def __call__(
        self,
        call: Call,
        gallery_name: str,
        *,
        subject_id: str,
        probe: bytes | SentTemplate,
        selection: FaceSelection,
        min_revision: str,
        detection: DetectionOptions = SERVER_DEFAULT,
    ) -> Verification:
        """Return the subject's highest score. Raises SubjectNotFound and the errors of extraction."""
        gallery, pack = await self._galleries.get_with_pack(gallery_name)
        revision = revision_from_token(gallery.gallery_id, min_revision) if min_revision else 0
        selection = one_face_only(selection)
        probed = await self._extract.from_source(probe, pack, selection, "probe", detection)
        start = time.perf_counter()
        await self._projection.reach(gallery, revision, call.deadline)
        async with before(call.deadline, "the object store did not answer in time; retry later"):
            subject = await find_subject(self._records, gallery, subject_id)
        (face,) = probed.faces
        best = _best_sample(subject, face.template)
        return Verification(
            best,
            face,
            SearchReport(
                gallery,
                self._projection.revision(gallery),
                subjects_searched=1,
                exact=True,
                detect_ms=probed.detect_ms,
                embed_ms=probed.embed_ms,
                search_ms=1000 * (time.perf_counter() - start),
            ),
        )


def _best_sample(subject: Subject, probe: Template) -> Hit:
    hits = [
        Hit(subject.subject_id, encounter.encounter_id, number, cosine(probe, sample.template))
        for encounter in subject.encounters
        for number, sample in enumerate(encounter.samples)
    ]
    return best_per_subject(hits)[0]
