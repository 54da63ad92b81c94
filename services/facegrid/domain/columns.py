"""Encounters column by column: how templates travel that exist already, millions at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from facegrid.domain.errors import InvalidField, InvalidTemplate
from facegrid.domain.faces import Floats
from facegrid.domain.galleries import MAX_SAMPLES
from facegrid.domain.labels import NO_LABELS, Labels, check_labels
from facegrid.domain.names import check_name
from facegrid.domain.templates import UNIT_TOLERANCE

_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single truth
class TemplateColumns:
    """E encounters with N templates: float32 vectors (N, dimension), normalised, and norms (N,).

    `sample_counts` int64 (E,) has the number of templates of each encounter.
    """

    subject_ids: Sequence[str]
    labels: Sequence[Labels]
    sample_counts: NDArray[np.int64]
    vectors: Floats = field(repr=False)
    norms: Floats = field(repr=False)

    def samples(self) -> Iterator[slice]:
        """Yield the templates of each encounter."""
        ends = np.cumsum(self.sample_counts).tolist()
        return (slice(*pair) for pair in pairwise([0, *ends]))


@dataclass(frozen=True, slots=True)
class SentColumns:
    """Columns as a client sent them, not yet checked; norms, counts and labels may be left out.

    `vectors` are little-endian float32. `first` is the number of the first encounter, for messages.
    """

    first: int
    subject_ids: Sequence[str]
    labels: Sequence[Labels]
    sample_counts: Sequence[int]
    vectors: bytes = field(repr=False)
    norms: Sequence[float] = field(repr=False)


def columns_from_client(sent: SentColumns, dimension: int) -> TemplateColumns:
    """Check columns. Raises InvalidField and InvalidTemplate, which name the encounter."""
    encounters = len(sent.subject_ids)
    counts = np.array(sent.sample_counts, np.int64) if sent.sample_counts else np.ones(encounters, np.int64)
    _check_lengths(sent, counts)
    templates = int(counts.sum())
    if len(sent.vectors) != _FLOAT_BYTES * dimension * templates:
        raise InvalidTemplate(
            f"vectors has {len(sent.vectors)} bytes and {templates} templates of {dimension} float32 have "
            f"{_FLOAT_BYTES * dimension * templates}",
            field="vectors",
        )
    vectors = np.frombuffer(sent.vectors, "<f4").reshape(-1, dimension)
    norms = np.array(sent.norms, np.float32) if sent.norms else np.zeros(templates, np.float32)
    labels = sent.labels or [NO_LABELS] * encounters
    _check_vectors(vectors, norms, np.repeat(np.arange(sent.first, sent.first + encounters), counts))
    for number, (subject_id, one) in enumerate(zip(sent.subject_ids, labels, strict=True)):
        _check_words(sent.first + number, subject_id, one)
    return TemplateColumns(sent.subject_ids, labels, counts, vectors, norms)


def _check_lengths(sent: SentColumns, counts: NDArray[np.int64]) -> None:
    encounters = len(sent.subject_ids)
    for name, length in (("sample_counts", len(counts)), ("labels", len(sent.labels) or encounters)):
        if length != encounters:
            raise InvalidField(f"{name} has {length} entries for {encounters} subject_ids", field=name)
    if encounters and not 1 <= counts.min() <= counts.max() <= MAX_SAMPLES:
        raise InvalidField(f"an encounter has 1 to {MAX_SAMPLES} samples", field="sample_counts")
    if sent.norms and len(sent.norms) != counts.sum():
        raise InvalidField(f"norms has {len(sent.norms)} entries for {counts.sum()} templates", field="norms")


def _check_vectors(vectors: Floats, norms: Floats, encounters: NDArray[np.int64]) -> None:
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    wrong = np.flatnonzero(~(np.abs(lengths - 1) <= UNIT_TOLERANCE))  # NaN is within no tolerance
    if len(wrong):
        raise InvalidTemplate(
            f"encounter {encounters[wrong[0]]} (the first is 0) has a template of length "
            f"{lengths[wrong[0]]:.4g}, and a template's is 1; send it as Extract returned it",
            field="vectors",
        )
    wrong = np.flatnonzero(~(np.isfinite(norms) & (norms >= 0)))
    if len(wrong):
        raise InvalidTemplate(
            f"encounter {encounters[wrong[0]]} (the first is 0) has a norm that is negative or not finite",
            field="norms",
        )


def _check_words(number: int, subject_id: str, labels: Labels) -> None:
    try:
        check_name(subject_id, "subject_id")
        if labels is not NO_LABELS:
            check_labels(labels)
    except InvalidField as error:
        message = f"encounter {number} (the first is 0): {error.message}"
        raise InvalidField(message, field=error.field) from None
