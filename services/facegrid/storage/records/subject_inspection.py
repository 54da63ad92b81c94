"""An inspection of subjects' objects: which encounters are sound, what is wrong with the rest, its repair."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np

from facegrid.domain.galleries import Encounter
from facegrid.domain.inspection import Finding, Problem
from facegrid.storage.objects.forms import read, read_as_is, to_json
from facegrid.storage.objects.store import ObjectMissing, ObjectStore, UnreadableObject
from facegrid.storage.records.codec import parse_subject, subject_form
from facegrid.storage.records.folders import SubjectFolder, subject_folder
from facegrid.storage.records.layout import encounter_prefix
from facegrid.storage.records.subjects import StoredSubjects

_UNIT_TOLERANCE = 2e-3
_REMOVED = {Problem.UNFINISHED, Problem.LATE_MARK, Problem.NOT_ERASED, Problem.EMPTY_SUBJECT}


@dataclass(slots=True)
class SubjectReport:
    """What stands in one subject's folder: encounters that are sound, and what is wrong with the rest.

    `subject_id` is empty where nothing tells it. `photographs` are `<encounter>/<number>`.
    """

    folder: SubjectFolder
    photographs: set[str]
    subject_id: str = ""
    encounters: list[Encounter] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


class SubjectInspection:
    """Looks at subjects' folders; each method blocks. Nothing may compact meanwhile."""

    def __init__(self, store: ObjectStore, subjects: StoredSubjects) -> None:
        """Take the store and the subjects."""
        self._store, self._subjects = store, subjects
        self._segments = subjects.segments

    def reports(self) -> Iterator[SubjectReport]:
        """Look at all subjects with objects, lazily; what a call is about to write may look wrong."""
        prefix = self._subjects.layout.subjects
        for sid, keys in groupby(self._store.keys(prefix), lambda key: key[len(prefix) :].partition("/")[0]):
            yield self._look(f"{prefix}{sid}/", list(keys))

    def report(self, prefix: str) -> SubjectReport:
        """Look at one folder."""
        return self._look(prefix, list(self._store.keys(prefix)))

    def repair(self, report: SubjectReport, *, alone: bool) -> list[Finding]:
        """Set aside what is damaged and, `alone` with the subject, remove what does not count.

        Returns the findings, with what became of each.
        """
        folder, repaired = report.folder, set[Finding]()
        for finding in report.findings:
            if finding.problem is Problem.DAMAGED and finding.name != folder.sid:
                self._set_aside(folder, finding.name)
                repaired.add(finding)
            elif finding.problem is Problem.NOT_ERASED and not self._segments.shows(finding.name):
                self._subjects.remove(folder, finding.name)  # what is gone never comes back, whoever writes
                repaired.add(finding)
        if alone:
            repaired |= self._tidy(report)
        return [replace(one, repaired=one in repaired) for one in report.findings]

    def _tidy(self, report: SubjectReport) -> set[Finding]:
        folder, head = report.folder, Finding(Problem.DAMAGED, report.folder.sid)
        if head in report.findings:
            first = min(report.encounters, key=lambda one: (one.created, one.revision))
            self._store.put(f"{folder.prefix}subject.json", to_json(subject_form(first)))
        self._subjects.tidy(subject_folder(folder.prefix, self._store.keys(folder.prefix)))
        return {one for one in report.findings if one == head or one.problem in _REMOVED}

    def _set_aside(self, folder: SubjectFolder, encounter_id: str) -> None:
        """Move an encounter's objects below a prefix that nothing reads, its mark first of those that go."""
        prefix = encounter_prefix(folder.prefix, encounter_id)
        kept = self._subjects.layout.set_aside(folder.sid, encounter_id)
        for key in list(self._store.keys(prefix)):
            self._store.put(kept + key.removeprefix(prefix), read_as_is(self._store, key))
        self._store.delete(f"{prefix}encounter.json")
        self._store.delete_prefix(prefix)

    def _look(self, prefix: str, keys: Sequence[str]) -> SubjectReport:
        folder, base = subject_folder(prefix, keys), f"{prefix}encounters/"
        objects = [key.removeprefix(base) for key in keys if key.startswith(base)]
        sources = {one.removesuffix("/source") for one in objects if one.endswith("/source")}
        report = SubjectReport(folder, sources)
        for one in sorted(folder.committed | folder.unfinished):
            if problem := self._judge(report, one, objects):
                report.findings.append(Finding(problem, one))
        self._leave_out_replaced(report)
        self._find_missing_photographs(report)
        self._look_at_head(report)
        return report

    def _judge(self, report: SubjectReport, one: str, objects: Sequence[str]) -> Problem | None:
        """Say what is wrong with an encounter; the report takes it in where it is sound."""
        if one in self._segments:
            photographs = self._segments.shows(one)
            own = [path for path in objects if path.startswith(f"{one}/")]
            tidy = photographs and all(path.endswith("/source") for path in own)
            return None if tidy else Problem.NOT_ERASED
        if one in self._segments.erased:
            return Problem.NOT_ERASED
        if one not in report.folder.committed:
            return Problem.UNFINISHED
        try:
            return self._read_encounter(report, one)
        except (UnreadableObject, ObjectMissing):
            return Problem.DAMAGED

    def _read_encounter(self, report: SubjectReport, one: str) -> Problem | None:
        marked = self._subjects.read_mark(report.folder, one)
        if one in self._subjects.claims.void or not self._subjects.is_whole(report.folder, marked):
            return Problem.LATE_MARK
        (encounter,) = self._subjects.fill(report.folder, [marked])
        vectors = [sample.template.vector for sample in encounter.samples]
        if not all(abs(float(np.linalg.norm(vector)) - 1) <= _UNIT_TOLERANCE for vector in vectors):
            return Problem.DAMAGED
        report.encounters.append(encounter)
        return None

    def _leave_out_replaced(self, report: SubjectReport) -> None:
        gone = {one for encounter in report.encounters for one in encounter.replaces}
        for encounter in report.encounters[:]:
            if encounter.encounter_id in gone:
                report.encounters.remove(encounter)
                report.findings.append(Finding(Problem.NOT_ERASED, encounter.encounter_id))

    def _find_missing_photographs(self, report: SubjectReport) -> None:
        report.findings += [
            Finding(Problem.PHOTOGRAPH_MISSING, encounter.encounter_id)
            for encounter in report.encounters
            if not set(kept_photographs(encounter)) <= report.photographs
        ]

    def _look_at_head(self, report: SubjectReport) -> None:
        folder = report.folder
        try:
            names = [read(self._store, f"{folder.prefix}subject.json", parse_subject)[0]]
        except (UnreadableObject, ObjectMissing):
            names = [one.subject_id for one in report.encounters]
            if report.encounters:
                report.findings.append(Finding(Problem.DAMAGED, folder.sid))
        if not names:
            names = [head[0] for head in self._heads(folder.sid)]
        report.subject_id = next((one for one in names if self._subjects.layout.sid(one) == folder.sid), "")
        if not (folder.committed or folder.unfinished or self._segments.has_subject(folder.sid)):
            report.findings.append(Finding(Problem.EMPTY_SUBJECT, folder.sid))

    def _heads(self, sid: str) -> list[tuple[str, object]]:
        try:
            return list(self._segments.subject(sid, with_encounters=False)[0])
        except UnreadableObject:
            return []


def kept_photographs(encounter: Encounter) -> list[str]:
    """Return `<encounter>/<number>` of each sample whose photograph is said to be kept."""
    return [
        f"{encounter.encounter_id}/{number}"
        for number, sample in enumerate(encounter.samples)
        if sample.photograph_kept
    ]
