"""MaintenanceService: what keeps galleries in order."""

import statistics
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import grpc

from facegrid.domain.audits import Share, Tally
from facegrid.domain.revisions import revision_token
from facegrid.gateway import convert
from facegrid.gateway.progress import with_progress
from facegrid.identity.audit import DEFAULT_SAMPLE, AuditGallery, GalleryAudit
from facegrid.identity.progress import Progress
from facegrid.identity.tune import EffortTrial, GalleryTuning, Goal, TuneGallery, Verdict
from facegrid.v1 import maintenance_service_pb2 as pb
from facegrid.v1 import types_pb2
from facegrid.v1.maintenance_service_pb2_grpc import MaintenanceServiceServicer

# ruff: noqa: N802  # methods have the API's names
_Context = grpc.aio.ServicerContext[Any, Any]
_VERDICTS = {verdict: pb.TuningVerdict.Value(f"TUNING_VERDICT_{verdict.name}") for verdict in Verdict}


class MaintenanceServicer(MaintenanceServiceServicer):
    """AuditGallery and TuneGallery."""

    def __init__(self, audit: AuditGallery, tune: TuneGallery) -> None:
        """Take the use cases."""
        self._audit, self._tune = audit, tune

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
