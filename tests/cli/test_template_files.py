"""Files of templates: each kind that is read, and what is wrong with others, by row and column."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facegrid.cli import template_files
from facegrid.cli.bad_rows import BadFile
from facegrid.cli.template_files import TemplateFile
from facegrid.v1 import types_pb2 as pb
from facegrid.v1.bulk_service_pb2 import ImportTemplatesRequest

UNIT = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
SUBJECTS = ["ann", "bob", "cid"]
FIXED = pa.list_(pa.float32(), 2)
BYTES = [row.tobytes() for row in UNIT]


def written(path: Path, template: Any, **columns: Any) -> Path:
    """Write a Parquet file."""
    pq.write_table(pa.table({"subject": SUBJECTS[: len(template)], "template": template, **columns}), path)
    return path


def read(path: Path) -> ImportTemplatesRequest:
    """Return all messages of a file as one."""
    joined = ImportTemplatesRequest()
    for message in TemplateFile(path).messages():
        joined.MergeFrom(ImportTemplatesRequest(vectors=joined.vectors + message.vectors))
        message.ClearField("vectors")
        joined.MergeFrom(message)
    return joined


@pytest.mark.parametrize(
    "template",
    [
        pa.array(UNIT.tolist(), pa.list_(pa.float32())),
        pa.array(UNIT.tolist(), pa.list_(pa.float64())),
        pa.array(UNIT.tolist(), pa.large_list(pa.float32())),
        pa.array(UNIT.tolist(), FIXED),
        pa.array(BYTES, pa.binary()),
        pa.array(BYTES, pa.large_binary()),
        pa.array(BYTES, pa.binary(8)),
    ],
    ids=lambda column: str(column.type),
)
def test_forms_of_templates(tmp_path: Path, template: pa.Array, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of numbers and bytes are the same, wherever messages end."""
    path = written(tmp_path / "t.parquet", template)
    for rows in (1, 2, 512):
        monkeypatch.setattr(template_files, "_ROWS", rows)
        found = read(path)
        assert found.vectors == UNIT.tobytes()
        assert list(found.subject_ids) == SUBJECTS
        assert list(found.norms) == [0, 0, 0]
        assert (len(found.sample_counts), len(found.labels)) == (0, 0)


def test_npz(tmp_path: Path) -> None:
    """Arrays are columns, and one of no dimension states the template version."""
    columns = {"age": np.array([7, 8, 9]), "norm": np.array([1, 2, 3], np.float32)}
    np.savez(tmp_path / "t.npz", subject=np.array(SUBJECTS), template=UNIT, template_version="v1", **columns)
    assert TemplateFile(tmp_path / "t.npz").template_version == "v1"
    found = read(tmp_path / "t.npz")
    assert (found.vectors, list(found.norms)) == (UNIT.tobytes(), [1, 2, 3])
    assert [one.metadata["age"] for one in found.labels] == [pb.Value(integer=age) for age in (7, 8, 9)]


def test_a_vector_of_another_length_is_normalised(tmp_path: Path) -> None:
    """Its length is its norm, where the file states none; what is normal stays as it is, bit for bit."""
    longer = UNIT * np.array([[1], [20], [1.0005]], np.float32)
    path = written(tmp_path / "t.parquet", pa.array(longer.tolist(), FIXED))
    found = read(path)
    np.testing.assert_allclose(found.norms, [0, 20, 0], rtol=1e-6)
    vectors = np.frombuffer(found.vectors, np.float32).reshape(-1, 2)
    np.testing.assert_allclose(vectors[1], UNIT[1], rtol=1e-6)
    np.testing.assert_array_equal(vectors[2], longer[2])


def test_rows_of_an_encounter_stay_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though a message would end between them."""
    monkeypatch.setattr(template_files, "_ROWS", 1)
    vectors = pa.array([[1, 0]] * 6, FIXED)
    columns = {
        "subject": ["ann", "ann", "ann", "bob", "bob", "bob"],
        "encounter": ["e1", "e1", "e2", "e2", None, None],
        "age": [1, 1, 2, 3, 4, 5],
    }
    pq.write_table(pa.table({**columns, "template": vectors}), tmp_path / "t.parquet")
    messages = list(TemplateFile(tmp_path / "t.parquet").messages())
    assert [list(one.subject_ids) for one in messages] == [["ann"], ["ann"], ["bob"], ["bob"], ["bob"]]
    assert [list(one.sample_counts) for one in messages] == [[2], [], [], [], []]
    assert [one.labels[0].metadata["age"].integer for one in messages] == [1, 2, 3, 4, 5]


BAD = np.array([[1, 0], [np.nan, 0], [0, 1]])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"template": pa.array(BAD.tolist(), FIXED)},
            "row 2, column template: has a number that is not finite",
        ),
        (
            {"template": pa.array([[1, 0], [1e300, 0]])},
            "row 2, column template: has a number that is not finite",
        ),
        ({"template": pa.array([[1.0, 0], [0, 0]])}, "row 2, column template: is a vector of zeros"),
        ({"template": pa.array([[1.0, 0], [1]])}, "row 2, column template: has 1 numbers and row 1 has 2"),
        ({"template": pa.array([[], [1.0]])}, "row 1, column template: has no numbers"),
        ({"template": pa.array([[1.0], None])}, "row 2, column template: is empty"),
        ({"template": pa.array([[1.0, None]])}, "column template: has an entry that is no number"),
        ({"template": pa.array([["x"]])}, "column template: has an entry that is no number"),
        ({"template": pa.array([b"123"])}, "column template: has bytes that are no float32"),
        ({"template": pa.array(["x"])}, "column template: has type string"),
        ({"template": pa.array([[1.0]]), "norm": [-1.0]}, "row 1, column norm: is negative"),
        ({"template": pa.array([[1.0]]), "subject": ["a b"]}, "row 1, column subject: 'a b' is no name"),
        ({"template": pa.array([[1.0]]), "subject": [None]}, "row 1, column subject: is empty"),
        ({"template": pa.array([[1.0]]), "x": [b"y"]}, "column x: has type binary"),
        ({"template": pa.array([], FIXED)}, "has no rows"),
    ],
)
def test_bad_rows(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    """The sentence has the file, the row and the column."""
    count = len(columns["template"])
    pq.write_table(
        pa.table({"subject": pa.array(SUBJECTS[:count], pa.string()), **columns}), tmp_path / "t.parquet"
    )
    with pytest.raises(BadFile, match=r"t\.parquet") as caught:
        read(tmp_path / "t.parquet")
    assert message in str(caught.value)


def test_rows_count_through_all_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a template must be as long as the first of the file."""
    monkeypatch.setattr(template_files, "_ROWS", 2)
    path = written(tmp_path / "t.parquet", pa.array([[1.0, 0], [1, 0], [1]]))
    with pytest.raises(BadFile, match="row 3, column template: has 1 numbers and the first row has 2"):
        read(path)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [("t.parquet", b"PAR1", "cannot be read"), ("t.npz", b"PK", "cannot be read")],
)
def test_what_is_no_file_of_templates(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    """Its name promised one."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadFile, match=message):
        TemplateFile(tmp_path / name)


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    """With those that there are."""
    np.savez(tmp_path / "t.npz", names=np.array(SUBJECTS), template=UNIT)
    with pytest.raises(BadFile, match="column subject: is missing; the file has names, template"):
        TemplateFile(tmp_path / "t.npz")
