"""Which subjects of a gallery are drawn for probes, and their templates, from rows that come in any order.

Subjects are known by 64-bit hashes, of which a row needs one: 8 bytes beside the 2,048 of a template.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.faces import Floats
from facegrid.domain.galleries import IndexRows
from facegrid.domain.probes import DrawnSubjects, SampledSubject

Marks = NDArray[np.int64]
_OTHERS = 4  # for each number of a template


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single truth
class Draw:
    """Subjects to make probes of, those with one template and those with several, and others for the noise.

    They are drawn with replacement, so that probes are independent of each other, whatever their number.
    """

    one: Marks
    several: Marks
    others: Marks


class Survey:
    """Counts the templates of each subject."""

    def __init__(self) -> None:
        """Begin with none."""
        self._marks: list[Marks] = []
        self.rows = 0

    def add(self, rows: IndexRows) -> None:
        """Count rows."""
        self._marks.append(subject_marks(rows.subject_ids))
        self.rows += len(rows)

    def draw(self, count: int, dimension: int, rng: np.random.Generator) -> Draw:
        """Draw `count` subjects of each kind that there is."""
        marks, templates = np.unique(
            np.concatenate(self._marks or [np.empty(0, np.int64)]), return_counts=True
        )
        one, several = marks[templates == 1], marks[templates > 1]
        return Draw(
            rng.choice(one, count if len(one) else 0),
            rng.choice(several, count if len(several) else 0),
            rng.choice(marks, min(_OTHERS * dimension, len(marks)), replace=False),
        )


@dataclass(slots=True)
class _Templates:
    subject_id: str
    encounter_ids: list[str] = field(default_factory=list)
    vectors: list[Floats] = field(default_factory=list)


class Collector:
    """Keeps the templates of some subjects."""

    def __init__(self, draw: Draw) -> None:
        """Take whose templates are wanted."""
        self._draw = draw
        self._wanted = np.unique(np.concatenate([draw.one, draw.several, draw.others]))
        self._found: dict[int, _Templates] = {}

    def add(self, rows: IndexRows) -> None:
        """Keep what is wanted of some rows."""
        marks = subject_marks(rows.subject_ids)
        for row in np.flatnonzero(np.isin(marks, self._wanted)).tolist():
            found = self._found.setdefault(int(marks[row]), _Templates(rows.subject_ids[row]))
            found.encounter_ids.append(rows.encounter_ids[row])
            found.vectors.append(rows.vectors[row].copy())

    def drawn(self) -> DrawnSubjects:
        """Return what was drawn, save subjects that went away meanwhile."""
        subjects = [*self._subjects(self._draw.one), *self._subjects(self._draw.several)]
        return DrawnSubjects(subjects, [one.vectors[0] for one in self._subjects(self._draw.others)])

    def _subjects(self, marks: Marks) -> Iterator[SampledSubject]:
        for mark in marks.tolist():
            if found := self._found.get(mark):
                yield SampledSubject(found.subject_id, found.encounter_ids, np.stack(found.vectors))


def subject_marks(subject_ids: Sequence[str]) -> Marks:
    """Return a hash of each id, the same as long as the process lives."""
    return np.fromiter(map(hash, subject_ids), np.int64, len(subject_ids))
