"""MaintenanceService: what keeps galleries in order."""

import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc

from facegrid.domain.audits import Share, Tally
from facegrid.domain.revisions import revision_token
from facegrid.gateway import convert
from facegrid.gateway.convert_maintenance import (
    check_progress,
    checked_to_proto,
    duplicates_result_to_proto,
    duplicates_to_proto,
    finding_to_proto,
    rebuilt_to_proto,
)
from facegrid.gateway.progress import with_progress
from facegrid.identity.audit import DEFAULT_SAMPLE, AuditGallery, GalleryAudit
from facegrid.identity.check import Checked, CheckGallery
from facegrid.identity.duplicates import DuplicatesFound, FindDuplicates
from facegrid.identity.progress import Progress
from facegrid.identity.rebuild import RebuildIndex
from facegrid.identity.tune import EffortTrial, GalleryTuning, Goal, TuneGallery, Verdict
from facegrid.v1 import maintenance_service_pb2 as pb
from facegrid.v1 import types_pb2
from facegrid.v1.maintenance_service_pb2_grpc import MaintenanceServiceServicer

# ruff: noqa: N802  # methods have the API's names
_Context = grpc.aio.ServicerContext[Any, Any]
_VERDICTS = {verdict: pb.TuningVerdict.Value(f"TUNING_VERDICT_{verdict.name}") for verdict in Verdict}


class MaintenanceServicer(MaintenanceServiceServicer):
    """Audits, tunings, rebuilds, checks and duplicates."""

    def __init__(
        self,
        audit: AuditGallery,
        tune: TuneGallery,
        rebuild: RebuildIndex,
        check: CheckGallery,
        duplicates: FindDuplicates,
    ) -> None:
        """Take the use cases."""
        self._audit, self._tune = audit, tune
        self._rebuild, self._check, self._duplicates = rebuild, check, duplicates

    async def AuditGallery(
        self, request: pb.AuditGalleryRequest, context: _Context
    ) -> AsyncIterator[pb.AuditGalleryResponse]:
        """Compare an index with exact search."""
        call, sample = convert.call_of(request, context), request.sample or DEFAULT_SAMPLE
        async for step in with_progress(partial(self._audit, call, request.gallery, sample)):
            if isinstance(step, Progress):
                yield pb.AuditGalleryResponse(progress=_progress(step))
            else:
                yield pb.AuditGalleryResponse(audit=_audit(step))

    async def TuneGallery(
        self, request: pb.TuneGalleryRequest, context: _Context
    ) -> AsyncIterator[pb.TuneGalleryResponse]:
        """Find a search effort."""
        call, goal = convert.call_of(request, context), Goal(request.max_added_miss_rate, request.max_ms)
        job = partial(self._tune, call, request.gallery, goal, request.sample, apply=request.apply)
        async for step in with_progress(job):
            if isinstance(step, Progress):
                yield pb.TuneGalleryResponse(progress=_progress(step))
            else:
                yield pb.TuneGalleryResponse(tuning=_tuning(step))

    async def RebuildIndex(
        self, request: pb.RebuildIndexRequest, context: _Context
    ) -> AsyncIterator[pb.RebuildIndexResponse]:
        """Make an index anew."""
        convert.call_of(request, context)
        async with aclosing(self._rebuild(request.gallery)) as steps:
            async for step in steps:
                progress = pb.Progress(step="rebuilding", done=step.encounters, total=step.total)
                yield pb.RebuildIndexResponse(progress=progress)
        yield pb.RebuildIndexResponse(rebuilt=rebuilt_to_proto(step))

    async def CheckGallery(
        self, request: pb.CheckGalleryRequest, context: _Context
    ) -> AsyncIterator[pb.CheckGalleryResponse]:
        """Compare records and index."""
        convert.call_of(request, context)
        async with aclosing(self._check(request.gallery, repair=request.repair)) as steps:
            async for step in steps:
                if isinstance(step, Checked):
                    yield pb.CheckGalleryResponse(check=checked_to_proto(step))
                    return
                for finding in step.findings:
                    yield pb.CheckGalleryResponse(finding=finding_to_proto(finding))
                yield pb.CheckGalleryResponse(progress=check_progress(step))

    async def FindDuplicates(
        self, request: pb.FindDuplicatesRequest, context: _Context
    ) -> AsyncIterator[pb.FindDuplicatesResponse]:
        """Find pairs of subjects that may be one person."""
        convert.call_of(request, context)
        threshold = request.threshold if request.HasField("threshold") else None
        async with aclosing(self._duplicates(request.gallery, threshold, request.cursor)) as steps:
            async for step in steps:
                if isinstance(step, DuplicatesFound):
                    yield pb.FindDuplicatesResponse(result=duplicates_result_to_proto(step))
                else:
                    yield duplicates_to_proto(step)


def _progress(progress: Progress) -> pb.Progress:
    return pb.Progress(step=progress.step, done=progress.done, total=progress.total)


def _audit(audit: GalleryAudit) -> pb.GalleryAudit:
    outcome, trial = audit.outcome, audit.trial
    return pb.GalleryAudit(
        gallery_revision=revision_token(trial.gallery.gallery_id, audit.revision),
        method=types_pb2.SEARCH_METHOD_EXACT if audit.exact else types_pb2.SEARCH_METHOD_APPROXIMATE,
        subjects=audit.subjects,
        templates=trial.templates,
        one_template=_probes(outcome.one),
        several_templates=_probes(outcome.several),
        search_p50_ms=_quantile(outcome.times_ms, 50),
        search_p99_ms=_quantile(outcome.times_ms, 99),
        mated_scores=trial.probes.measured_scores,
        seconds=audit.seconds,
    )


def _probes(tally: Tally) -> pb.AuditedProbes:
    return pb.AuditedProbes(
        probes=tally.probes,
        mates_found=tally.sought,
        missed=tally.missed,
        added_miss_rate=_share(tally.added_miss_rate) if tally.sought else None,
        recall_at_1=_share(tally.recall_at_1) if tally.probes else None,
        recall_at_10=_share(tally.recall_at_10) if tally.probes else None,
    )


def _share(share: Share) -> pb.Share:
    return pb.Share(value=share.value, low=share.low, high=share.high)


def _tuning(tuning: GalleryTuning) -> pb.GalleryTuning:
    return pb.GalleryTuning(
        verdict=_VERDICTS[tuning.verdict],
        effort=tuning.effort,
        applied=tuning.applied,
        trials=[_trial(one) for one in tuning.trials],
        sample_needed=tuning.goal.sample_needed,
    )


def _trial(trial: EffortTrial) -> pb.EffortTrial:
    return pb.EffortTrial(
        effort=trial.effort,
        probes=_probes(trial.tally),
        highest_added_miss_rate=trial.tally.highest_added_miss_rate,
        search_p50_ms=_quantile(trial.times_ms, 50),
        search_p99_ms=_quantile(trial.times_ms, 99),
    )


def _quantile(times_ms: Sequence[float], percent: int) -> float:
    if len(times_ms) < 2:  # noqa: PLR2004  # quantiles need two
        return sum(times_ms)
    return statistics.quantiles(times_ms, n=100, method="inclusive")[percent - 1]
