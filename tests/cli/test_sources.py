"""Sources of a bulk enrolment: what they hold, and what is wrong with them, by file, row and column."""

import io
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facegrid.cli import sources
from facegrid.cli.bad_rows import BadFile
from facegrid.cli.sources import Entry, open_source
from facegrid.v1 import types_pb2 as pb

MEMBERS = {"people/ann/1.jpg": b"a1", "people/ann/2.jpg": b"a2", "people/bob/1.jpg": b"b1"}


def entries(path: Path) -> list[Entry]:
    """Return all entries; a second look finds the same."""
    source = open_source(path)
    found = list(source.entries())
    assert [one.photograph for one in source.entries()] == [one.photograph for one in found]
    return found


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    """Write a zip file."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, members: dict[str, bytes]) -> Path:
    """Write a tar file with a link beside its members."""
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        link = tarfile.TarInfo("people/ann/link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("kind", ["folder", "people.zip", "people.tar", "people.tar.gz"])
def test_a_folder_of_subjects_and_its_archives(tmp_path: Path, kind: str) -> None:
    """Rows, subjects, names and bytes; hidden files are none, nor files of no subject, nor links."""
    members = {**MEMBERS, "people/ann/.hidden": b"", "readme.txt": b"", "people/__MACOSX/x": b""}
    if kind == "folder":
        path = tmp_path / "people"
        for name, data in members.items():
            if "MACOSX" not in name and "/" in name:
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).write_bytes(data)
        (path / "notes.txt").touch()
    else:
        path = (zipped if kind.endswith("zip") else tarred)(tmp_path / kind, members)
    found = entries(path)
    assert [(one.row, one.subject, one.read()) for one in found] == [
        (1, "ann", b"a1"),
        (2, "ann", b"a2"),
        (3, "bob", b"b1"),
    ]
    assert all(one.photograph.endswith(("ann/1.jpg", "ann/2.jpg", "bob/1.jpg")) for one in found)
    source = open_source(path)
    for number in (1, 2, 0, 0, 2):  # onwards, back, once more
        assert source.read(found[number].photograph) == found[number].read()
    with pytest.raises(OSError, match=r"none\.jpg|is not in|no item"):
        source.read("people/ann/none.jpg")
    assert source.read(found[0].photograph) == b"a1"


@pytest.mark.parametrize("name", ["../ann/1.jpg", "/etc/ann/1.jpg", "ann/../../1.jpg"])
@pytest.mark.parametrize("kind", ["a.zip", "a.tar"])
def test_a_member_that_leads_out_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    """The whole archive is."""
    path = (zipped if kind.endswith("zip") else tarred)(tmp_path / kind, {name: b"x"})
    with pytest.raises(BadFile, match="leads out of the archive"):
        entries(path)


@pytest.mark.parametrize("kind", ["a.zip", "a.tar"])
def test_a_member_that_unpacks_to_too_much_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """No more of it is read than the limit."""
    monkeypatch.setattr(sources, "_LARGEST_BYTES", 10)
    make = zipped if kind.endswith("zip") else tarred
    large, small = entries(make(tmp_path / kind, {"ann/1": bytes(11), "ann/2": bytes(10)}))
    with pytest.raises(OSError, match="larger than 10 bytes"):
        large.read()
    assert small.read() == bytes(10)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.parquet", "a.txt"])
def test_what_is_no_source_is_named(tmp_path: Path, name: str) -> None:
    """Whatever its name says."""
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(BadFile, match=name):
        entries(tmp_path / name)


def test_a_csv_manifest(tmp_path: Path) -> None:
    """Photographs stand beside it; further columns are texts, and empty ones say nothing."""
    (tmp_path / "a.jpg").write_bytes(b"a")
    manifest = tmp_path / "people.csv"
    manifest.write_text(
        "\ufeffsubject,photograph,name,sub_galleries,status\n"
        'ann,a.jpg,"Ann, A.",north;south,\n'
        "bob,s3://bucket/b.jpg,,,INACTIVE\n"
    )
    ann, bob = entries(manifest)
    assert (ann.row, ann.subject, ann.photograph, ann.read()) == (1, "ann", "a.jpg", b"a")
    assert ann.labels
    assert bob.labels
    assert dict(ann.labels.metadata) == {"name": pb.Value(text="Ann, A.")}
    assert list(ann.labels.sub_galleries) == ["north", "south"]
    assert (len(bob.labels.metadata), bob.labels.status) == (0, pb.STATUS_INACTIVE)
    assert [ann.labels.status, bob.photograph] == [pb.STATUS_ACTIVE, "s3://bucket/b.jpg"]


def test_a_parquet_manifest(tmp_path: Path) -> None:
    """Its columns keep their types."""
    manifest = tmp_path / "people.parquet"
    columns = {
        "subject": ["ann", "bob"],
        "photograph": ["a.jpg", "b.jpg"],
        "age": [7, None],
        "height": [1.5, 2.5],
        "tall": [True, False],
        "sub_galleries": [["north"], None],
    }
    pq.write_table(pa.table(columns), manifest)
    ann, bob = entries(manifest)
    assert ann.labels
    assert bob.labels
    assert dict(ann.labels.metadata) == {
        "age": pb.Value(integer=7),
        "height": pb.Value(number=1.5),
        "tall": pb.Value(flag=True),
    }
    assert list(ann.labels.sub_galleries) == ["north"]
    assert set(bob.labels.metadata) == {"height", "tall"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "column subject: is missing"),
        (b"subject,path\nann,a.jpg\n", "column photograph: is missing; the header has subject, path"),
        (b"subject,photograph,subject\n", "column subject: is there twice"),
        (b"subject,photograph,a b\n", "'a b'"),
        (b"subject,photograph\nann,a.jpg\nbob\n", "row 2: has 1 columns and the header has 2"),
        (b"subject,photograph\nann,a.jpg,x\n", "row 1: has 3 columns"),
        (b"subject,photograph\nann,a.jpg\n,b.jpg\n", "row 2, column subject: is empty"),
        (b"subject,photograph\n../ann,a.jpg\n", "row 1, column subject: '../ann' is no name"),
        (b"subject,photograph\nann,\n", "row 1, column photograph: is empty"),
        (b'subject,photograph\nann,"a.jpg\n', "row 1: cannot be read"),
        (b"subject,photograph\nann,\xff.jpg\n", "cannot be read"),
        (b"subject,photograph,status\nann,a,gone\n", "row 1, column status: 'gone' is neither"),
        (b"subject,photograph,sub_galleries\nann,a,x y\n", "row 1, column sub_galleries: 'x y' is no name"),
        (b"subject,photograph,metadata\nann,a,[1]\n", "row 1, column metadata: is no JSON object"),
    ],
)
def test_bad_csv_manifests(tmp_path: Path, text: bytes, message: str) -> None:
    """The sentence has the file, the row and the column."""
    manifest = tmp_path / "people.csv"
    manifest.write_bytes(text)
    with pytest.raises(BadFile) as caught:
        entries(manifest)
    assert str(caught.value).startswith(str(manifest))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"subject": ["ann"]}, "column photograph: is missing"),
        ({"subject": [1], "photograph": ["a"]}, "row 1, column subject"),
        ({"subject": ["ann"], "photograph": [None]}, "row 1, column photograph: is empty"),
        ({"subject": ["ann"], "photograph": ["a"], "x": [[1]]}, "column x: has type list"),
    ],
)
def test_bad_parquet_manifests(tmp_path: Path, columns: dict[str, list[object]], message: str) -> None:
    """Types that metadata has not are told from the schema."""
    manifest = tmp_path / "people.parquet"
    pq.write_table(pa.table(columns), manifest)
    with pytest.raises(BadFile, match=r"people\.parquet") as caught:
        entries(manifest)
    assert message in str(caught.value)
