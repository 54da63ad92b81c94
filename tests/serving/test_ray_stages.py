"""The stages of an extraction on Ray Data, outside of Ray."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegrid.domain.detection import SERVER_DEFAULT
from facegrid.domain.faces import FaceSelection
from facegrid.serving import ray_stages
from facegrid.serving.ray_stages import Detector, Embedder, Reader, Task, Work
from facegrid.v1.face_service_pb2 import ExtractedFace
from facegrid.vision.packs import PackFolder


@pytest.fixture
def version(open_pack_root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the open pack's version; an actor here is in its first try."""
    monkeypatch.setenv("FACEGRID_MODELS", str(open_pack_root))
    monkeypatch.setattr(ray_stages, "_earlier_tries", lambda: 0)
    return PackFolder(open_pack_root).manifest("open").pack.template_version


def _task(pack: str, version: str) -> Task:
    return Task(pack, version, FaceSelection.EXACTLY_ONE, SERVER_DEFAULT)


def _done(stage: Any, works: Sequence[Work]) -> list[Work]:
    column = np.empty(len(works), object)
    column[:] = works
    return list(stage({"work": column})["work"])


def test_a_photograph_goes_through_all_stages(version: str, portrait: bytes) -> None:
    """One that cannot be read says so, one that shows nothing has no face, and neither harms the others."""
    photographs = {"good": portrait, "noise": b"no photograph"}

    def read(name: str) -> bytes:
        if name not in photographs:
            raise OSError("gone")
        return photographs[name]

    works = [Work(row, name) for row, name in enumerate(("good", "noise", "none"))]
    for stage in (
        Reader(lambda: read),
        Detector(_task("open", version)),
        Embedder(_task("open", version)),
    ):
        works = _done(stage, works)
    assert [(work.unread, bool(work.extracted), work.fault) for work in works] == [
        ("", True, ""),
        ("", False, ""),
        ("gone", False, ""),
    ]
    extracted = ExtractedFace.FromString(works[0].extracted)
    assert extracted.template.template_version == version
    assert len(extracted.face.quality) > 1


def test_a_batch_that_kills_detectors_is_left_to_the_server(
    version: str, portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After two tries nobody looks at it."""
    monkeypatch.setattr(ray_stages, "_earlier_tries", lambda: 2)
    (work,) = _done(Detector(_task("open", version)), [Work(1, "good", portrait)])
    assert (work.photograph, work.face) == (portrait, None)


@pytest.mark.parametrize("stage", [Detector, Embedder])
def test_a_pack_that_is_not_there_is_a_fault(version: str, stage: type[Any]) -> None:
    """Every photograph tells it, for an error of an actor would be a trace of Ray's."""
    (work,) = _done(stage(_task("nowhere", version)), [Work(1, "a")])
    assert "nowhere" in work.fault


@pytest.mark.usefixtures("version")
def test_a_pack_of_another_version_is_a_fault() -> None:
    """Templates would not compare with those of the gallery."""
    (work,) = _done(Detector(_task("open", "other")), [Work(1, "a")])
    assert "there and other in the gallery; give all nodes the pack" in work.fault
