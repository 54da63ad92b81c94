"""The journal of a bulk enrolment survives its run."""

from pathlib import Path

import pytest

from facegrid.cli.bad_rows import BadFile
from facegrid.cli.journal import Journal, Settled

ABOUT = {"gallery": "g", "source": "people"}
KEY, OTHER = ("ann", "1.jpg"), ("bob", "2.jpg")


def journal(folder: Path, **changes: str) -> Journal:
    """Return the journal of a folder."""
    return Journal(folder / "journal", ABOUT | changes)


def test_what_is_noted_is_known_to_the_next_run(tmp_path: Path) -> None:
    """The last note of a photograph stands."""
    with journal(tmp_path) as first:
        first.note(KEY, Settled("failed", "no face"))
        first.note(KEY, Settled("enrolled", "", "e1", "abc", "def"))
        assert first[KEY] == Settled("enrolled", "", "e1", "abc", "def")
    with journal(tmp_path) as second:
        assert second[KEY] == Settled("enrolled", "", "e1", "abc", "def")
        assert second[OTHER] is None


def test_a_torn_line_is_forgotten(tmp_path: Path) -> None:
    """Whatever a crash left of it, the lines before stand and new ones follow."""
    with journal(tmp_path) as first:
        first.note(KEY, Settled("enrolled"))
    whole = (tmp_path / "journal").read_bytes()
    with journal(tmp_path) as second:
        second.note(OTHER, Settled("enrolled"))
    complete = (tmp_path / "journal").read_bytes()
    for length in range(len(complete)):
        (tmp_path / "journal").write_bytes(complete[:length])
        with journal(tmp_path) as torn:
            assert (torn[KEY] is None) == (length < len(whole))
            assert torn[OTHER] is None
            torn.note(OTHER, Settled("failed"))
        with journal(tmp_path) as after:
            assert after[OTHER] == Settled("failed")


@pytest.mark.parametrize("changes", [{"gallery": "h"}, {"source": "others"}])
def test_the_journal_of_something_else_is_refused(tmp_path: Path, changes: dict[str, str]) -> None:
    """And left as it is."""
    with journal(tmp_path):
        pass
    before = (tmp_path / "journal").read_bytes()
    with pytest.raises(BadFile, match="--journal"), journal(tmp_path, **changes):
        pass
    assert (tmp_path / "journal").read_bytes() == before


@pytest.mark.parametrize("data", [b"no journal\n", b"{}\n[1]\n", b"[]\n"])
def test_another_file_is_refused(tmp_path: Path, data: bytes) -> None:
    """Nothing is appended to what somebody else wrote."""
    (tmp_path / "journal").write_bytes(data)
    with pytest.raises(BadFile, match="--journal"), journal(tmp_path):
        pass
    assert (tmp_path / "journal").read_bytes() == data


def test_one_run_at_a_time(tmp_path: Path) -> None:
    """The second is told so."""
    with journal(tmp_path), pytest.raises(BadFile, match="in use"), journal(tmp_path):
        pass
