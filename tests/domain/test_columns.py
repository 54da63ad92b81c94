"""Columns that a client sends: what is wrong is named with its encounter."""

from dataclasses import replace

import numpy as np
import pytest

from facegrid.domain.columns import SentColumns, columns_from_client
from facegrid.domain.errors import FacegridError, InvalidField, InvalidTemplate
from facegrid.domain.labels import NO_LABELS, Labels

UNIT = np.array([[1, 0], [0, 1], [0.6, 0.8]], "<f4")
SENT = SentColumns(10, ["ann", "bob"], [], [2, 1], UNIT.tobytes(), [])


def test_what_is_left_out_has_a_meaning() -> None:
    """No norms are 0, no labels are none, and no counts are one sample each."""
    columns = columns_from_client(SENT, 2)
    np.testing.assert_array_equal(columns.vectors, UNIT)
    assert columns.norms.tolist() == [0, 0, 0]
    assert columns.labels == [NO_LABELS, NO_LABELS]
    assert list(columns.samples()) == [slice(0, 2), slice(2, 3)]
    each = replace(SENT, subject_ids=["a", "b", "c"], sample_counts=[])
    assert columns_from_client(each, 2).sample_counts.tolist() == [1, 1, 1]


def test_no_columns_are_none() -> None:
    """A message may be empty."""
    assert len(columns_from_client(SentColumns(0, [], [], [], b"", []), 2).vectors) == 0


def vectors(*rows: tuple[float, float]) -> bytes:
    """Return vectors as they are sent."""
    return np.array(rows, "<f4").tobytes()


@pytest.mark.parametrize(
    ("changes", "error", "field_and_message"),
    [
        ({"vectors": UNIT.tobytes()[:-4]}, InvalidTemplate, ("vectors", "has 20 bytes and 3 templates of 2")),
        (
            {"vectors": vectors((1, 0), (0, 1), (np.nan, 0))},
            InvalidTemplate,
            ("vectors", "encounter 11 .*nan"),
        ),
        (
            {"vectors": vectors((1, 0), (np.inf, 1), (1, 0))},
            InvalidTemplate,
            ("vectors", "encounter 10 .*inf"),
        ),
        (
            {"vectors": vectors((0, 0), (0, 1), (1, 0))},
            InvalidTemplate,
            ("vectors", "encounter 10 .*length 0"),
        ),
        ({"vectors": vectors((1, 0), (0, 1), (1, 1))}, InvalidTemplate, ("vectors", "encounter 11 .*1.414")),
        ({"norms": [1, 2]}, InvalidField, ("norms", "2 entries for 3")),
        ({"norms": [1, 2, -3]}, InvalidTemplate, ("norms", "encounter 11 .*negative")),
        ({"norms": [1, np.nan, 3]}, InvalidTemplate, ("norms", "encounter 10 .*finite")),
        ({"sample_counts": [3]}, InvalidField, ("sample_counts", "1 entries for 2")),
        ({"sample_counts": [3, 0]}, InvalidField, ("sample_counts", "1 to 32")),
        ({"sample_counts": [-1, 4]}, InvalidField, ("sample_counts", "1 to 32")),
        ({"labels": [NO_LABELS]}, InvalidField, ("labels", "1 entries for 2")),
        (
            {"labels": [NO_LABELS, Labels({"height": np.inf})]},
            InvalidField,
            ("metadata[height]", "encounter 11 .*finite"),
        ),
        ({"subject_ids": ["ann", "../bob"]}, InvalidField, ("subject_id", "encounter 11 .*'../bob'")),
    ],
)
def test_bad_columns(
    changes: dict[str, object], error: type[FacegridError], field_and_message: tuple[str, str]
) -> None:
    """The sentence says what to look at; encounters count from the beginning of the stream."""
    field, message = field_and_message
    with pytest.raises(error, match=message) as caught:
        columns_from_client(replace(SENT, **changes), 2)
    assert caught.value.field == field
