"""What rebuilds, checks and searches for duplicates say, as clients see it."""

from facegrid.domain.inspection import Finding, Problem
from facegrid.domain.pairs import Pair, PairedSample
from facegrid.domain.revisions import revision_token
from facegrid.identity.check import Checked, CheckStep
from facegrid.identity.duplicates import DuplicatesFound, DuplicatesStep
from facegrid.identity.rebuild import Rebuilt
from facegrid.v1 import maintenance_service_pb2 as pb
from facegrid.v1 import types_pb2

_PROBLEMS = {problem: pb.Problem.Value(f"PROBLEM_{problem.name}") for problem in Problem}
_THOUSANDTHS = 1000


def rebuilt_to_proto(rebuilt: Rebuilt) -> pb.IndexRebuilt:
    """Return the end of a rebuild."""
    return pb.IndexRebuilt(
        gallery_revision=revision_token(rebuilt.gallery.gallery_id, rebuilt.revision),
        encounters=rebuilt.encounters,
        templates=rebuilt.templates,
        seconds=rebuilt.seconds,
    )


def finding_to_proto(finding: Finding) -> pb.Finding:
    """Return a finding."""
    return pb.Finding(problem=_PROBLEMS[finding.problem], name=finding.name, repaired=finding.repaired)


def check_progress(step: CheckStep) -> pb.Progress:
    """Return how far a check is: with the records, and after them with the index."""
    if step.indexed:
        return pb.Progress(step="checking the index", done=step.indexed, total=step.samples)
    return pb.Progress(step="checking the records", done=step.encounters)


def checked_to_proto(checked: Checked) -> pb.GalleryCheck:
    """Return the end of a check."""
    return pb.GalleryCheck(
        encounters=checked.encounters,
        samples=checked.samples,
        compacted=checked.compacted,
        indexed=checked.indexed,
        problems=[
            pb.ProblemCount(problem=_PROBLEMS[one], found=count, repaired=checked.repaired.get(one, 0))
            for one, count in checked.found.items()
        ],
        complete=checked.complete,
        sound=checked.sound,
        seconds=checked.seconds,
    )


def duplicates_to_proto(step: DuplicatesStep) -> pb.FindDuplicatesResponse:
    """Return pairs, or how far their job is where there are none to tell of."""
    if step.pairs or step.cursor:
        pairs = [_pair(pair) for pair in step.pairs]
        return pb.FindDuplicatesResponse(duplicates=pb.Duplicates(pairs=pairs, cursor=step.cursor))
    done = round(step.share * _THOUSANDTHS)
    return pb.FindDuplicatesResponse(progress=pb.Progress(step="comparing", done=done, total=_THOUSANDTHS))


def duplicates_result_to_proto(found: DuplicatesFound) -> pb.DuplicatesResult:
    """Return the end of a job."""
    method = types_pb2.SEARCH_METHOD_EXACT if found.exact else types_pb2.SEARCH_METHOD_APPROXIMATE
    return pb.DuplicatesResult(
        gallery_revision=revision_token(found.gallery.gallery_id, found.revision),
        threshold=found.threshold,
        templates=found.templates,
        method=method,
        seconds=found.seconds,
    )


def _pair(pair: Pair) -> pb.DuplicatePair:
    return pb.DuplicatePair(first=_sample(pair.first), second=_sample(pair.second), score=pair.score)


def _sample(sample: PairedSample) -> pb.PairedSample:
    return pb.PairedSample(
        subject_id=sample.subject_id, encounter_id=sample.encounter_id, sample=sample.sample
    )
