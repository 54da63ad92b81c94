"""IdentityService: enrol, verify, identify."""

from typing import Any

import grpc

from facegrid.domain.matching import Hit, is_match
from facegrid.domain.packs import Threshold
from facegrid.domain.revisions import revision_token
from facegrid.gateway import convert
from facegrid.gateway.convert_extracted import samples_of
from facegrid.gateway.convert_filter import filter_of
from facegrid.gateway.convert_labels import labels_of
from facegrid.gateway.gallery_servicer import encounter_to_proto
from facegrid.identity.enroll import Enroll
from facegrid.identity.identify import Identified, Identify
from facegrid.identity.searching import Scope, SearchReport
from facegrid.identity.verify import Verify
from facegrid.metrics import Metrics
from facegrid.v1 import identity_service_pb2 as pb
from facegrid.v1 import types_pb2
from facegrid.v1.identity_service_pb2_grpc import IdentityServiceServicer

# ruff: noqa: N802  # methods have the API's names
_Context = grpc.aio.ServicerContext[Any, Any]
_DEFAULT_TOP = 10


class IdentityServicer(IdentityServiceServicer):
    """Enroll, Verify and Identify."""

    def __init__(self, enroll: Enroll, verify: Verify, identify: Identify, metrics: Metrics) -> None:
        """Take the use cases, and what counts the time of their parts."""
        self._enroll, self._verify, self._identify = enroll, verify, identify
        self._metrics = metrics

    async def Enroll(self, request: pb.EnrollRequest, context: _Context) -> pb.EnrollResponse:
        """Store an encounter."""
        enrolled = await self._enroll(
            convert.mutation_of(request, context),
            request.gallery,
            subject_id=request.subject_id,
            mode=convert.mode_of(request.mode),
            samples=samples_of(request),
            selection=convert.selection_of(request.faces),
            detection=convert.detection_of(request.detection),
            labels=labels_of(request.metadata, request.sub_galleries, request.status),
        )
        encounter = enrolled.encounter
        return pb.EnrollResponse(
            subject_id=encounter.subject_id,
            encounter=encounter_to_proto(encounter),
            revision=revision_token(enrolled.gallery.gallery_id, encounter.revision),
        )

    async def Verify(self, request: pb.VerifyRequest, context: _Context) -> pb.VerifyResponse:
        """Compare with one subject."""
        verified = await self._verify(
            convert.call_of(request, context),
            request.gallery,
            subject_id=request.subject_id,
            probe=convert.source_of(request.probe, "probe"),
            selection=convert.selection_of(request.faces),
            detection=convert.detection_of(request.detection),
            min_revision=request.min_revision,
        )
        self._metrics.searched(verified.report)
        threshold, best = verified.report.gallery.thresholds.verify, verified.best
        return pb.VerifyResponse(
            score=best.score,
            decision=convert.decision_to_proto(is_match(best.score, threshold)),
            threshold=convert.threshold_to_proto(threshold),
            face=convert.face_to_proto(verified.face.face) if verified.face.face else None,
            encounter_id=best.encounter_id,
            sample=best.sample,
            search=_search_info(verified.report, threshold),
        )

    async def Identify(self, request: pb.IdentifyRequest, context: _Context) -> pb.IdentifyResponse:
        """Search a gallery."""
        identified = await self._identify(
            convert.call_of(request, context),
            request.gallery,
            convert.sources_of(request.probes, "probes"),
            convert.selection_of(request.faces),
            top=request.top if request.HasField("top") else _DEFAULT_TOP,
            include_below_threshold=request.include_below_threshold,
            min_revision=request.min_revision,
            detection=convert.detection_of(request.detection),
            probe_subject_id=request.probe_subject_id,
            scope=Scope(
                request.other_galleries,
                request.subject_ids,
                filter_of(request.filter, "filter") if request.HasField("filter") else None,
            ),
        )
        self._metrics.searched(identified.report)
        return pb.IdentifyResponse(
            results=[_result(one) for one in identified.results],
            threshold=convert.threshold_to_proto(identified.report.gallery.thresholds.identify),
            search=_identify_info(identified.report),
            other_searches=[_identify_info(report) for report in identified.other_reports],
        )


def _result(identified: Identified) -> pb.IdentifyResult:
    return pb.IdentifyResult(
        face=convert.face_to_proto(identified.face.face) if identified.face.face else None,
        decision=convert.decision_to_proto(identified.matched),
        candidates=[_candidate(hit) for hit in identified.candidates],
    )


def _candidate(hit: Hit) -> pb.Candidate:
    return pb.Candidate(
        subject_id=hit.subject_id,
        score=hit.score,
        encounter_id=hit.encounter_id,
        sample=hit.sample,
        gallery=hit.gallery,
    )


def _identify_info(report: SearchReport) -> types_pb2.SearchInfo:
    return _search_info(report, report.gallery.thresholds.identify)


def _search_info(report: SearchReport, threshold: Threshold) -> types_pb2.SearchInfo:
    return types_pb2.SearchInfo(
        gallery_revision=revision_token(report.gallery.gallery_id, report.revision),
        subjects_searched=report.subjects_searched,
        method=convert.method_to_proto(exact=report.exact),
        template_version=report.gallery.template_version,
        times=types_pb2.Timings(
            detect_ms=report.detect_ms, embed_ms=report.embed_ms, search_ms=report.search_ms
        ),
        probe_id=report.probe_id,
        gallery=report.gallery.name,
        threshold=convert.threshold_to_proto(threshold),
    )
