"""A subject's folder: which encounters have objects in it."""

from collections.abc import Iterable
from dataclasses import dataclass

from facegrid.domain.galleries import Encounter


@dataclass(frozen=True, slots=True)
class SubjectFolder:
    """The prefix of one subject, and the ids of the encounters that have objects below it.

    Those that are committed have their mark there; the others may have a row in a segment. `samples` has
    each sample with a template, as `<encounter>/<number>`.
    """

    prefix: str
    committed: frozenset[str]
    unfinished: frozenset[str]
    samples: frozenset[str]

    @property
    def sid(self) -> str:
        """The keyed hash of the subject's id."""
        return self.prefix.split("/")[-2]

    @property
    def encounter_ids(self) -> frozenset[str]:
        """The encounters that have objects here."""
        return self.committed | self.unfinished

    def has_templates(self, marked: Encounter) -> bool:
        """Say whether each sample of an encounter has its template here."""
        return all(f"{marked.encounter_id}/{number}" in self.samples for number in range(len(marked.samples)))


def subject_folder(prefix: str, keys: Iterable[str]) -> SubjectFolder:
    """Return the folder of a prefix that holds some keys."""
    paths = [
        key.removeprefix(f"{prefix}encounters/") for key in keys if key.startswith(f"{prefix}encounters/")
    ]
    committed = {path.partition("/")[0] for path in paths if path.endswith("/encounter.json")}
    present = {path.partition("/")[0] for path in paths}
    samples = {path.partition("/templates/")[0] for path in paths if "/templates/" in path}
    return SubjectFolder(prefix, frozenset(committed), frozenset(present - committed), frozenset(samples))
