"""Imports and exports as the use cases meet them: beside searches, deletions and restarts."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from facegrid.domain.columns import SentColumns
from facegrid.domain.errors import (
    FacegridError,
    GalleryNotFound,
    InvalidField,
    InvalidTemplate,
    QualityTooLow,
    RequestIdReused,
    StoreUnavailable,
    TemplateVersionMismatch,
)
from facegrid.domain.galleries import Encounter
from facegrid.domain.quality import QualityRule
from facegrid.domain.revisions import revision_token
from facegrid.identity import bulk_import
from facegrid.identity.bulk_export import ExportedPhotograph, ExportTemplates
from facegrid.identity.bulk_import import ImportProgress, ImportTemplates
from facegrid.identity.enroll import EnrollMode
from fakes import FakeVision, fake_template
from house import House, build_house, call

Sent = tuple[str, ...]


async def batches(*sent: Sent) -> AsyncIterator[SentColumns]:
    """Yield messages with a template of each name."""
    first = 0
    for names in sent:
        vectors = b"".join(fake_template(name.encode()).to_bytes() for name in names)
        yield SentColumns(first, names, [], [], vectors, [])
        first += len(names)


def importer(house: House) -> ImportTemplates:
    """Return the use case."""
    return ImportTemplates(house.galleries, house.records, house.projection)


async def imported(
    house: House, *sent: Sent, request_id: str = "", version: str = "fake-1"
) -> ImportProgress:
    """Import and return the last that is said of it."""
    importing = importer(house)(call("ImportTemplates", request_id), "g", version, batches(*sent))
    progress = [one async for one in importing]
    return progress[-1]


async def exported(house: House, *, photographs: bool = False) -> Sequence[Encounter | ExportedPhotograph]:
    """Export all."""
    found = ExportTemplates(house.galleries, house.records)("g", "", photographs=photographs)
    return [one async for one in found if not isinstance(one, str)]


async def test_imported_templates_are_found(house: House, tmp_path: Path) -> None:
    """By searches that insist on the revision, now and after a restart."""
    await house.add("eve", b"eve")
    done = await imported(house, ("ann", "bob"), ("cid",))
    assert (done.received, done.searchable, done.repeated) == (3, 3, False)
    token = revision_token(done.gallery.gallery_id, done.revision)
    assert [hit.subject_id for hit in (await house.search(b"ann", min_revision=token)).results[0].candidates]
    assert house.projection.subject_count(done.gallery) == 4
    house.close()
    again = build_house(tmp_path, FakeVision())
    for name in ("ann", "bob", "cid", "eve"):
        assert await again.found(name.encode()) == [name]
    assert (await again.search(b"ann", min_revision=token)).results
    again.close()


async def test_a_subject_that_exists_gets_another_encounter(house: House) -> None:
    """An import takes nothing away, and what it brought is replaced and deleted as anything else."""
    await house.add("ann", b"ann")
    await imported(house, ("ann",))
    assert len((await house.subjects.get("g", "ann")).encounters) == 2
    await house.add("ann", b"ann#2", mode=EnrollMode.REPLACE)
    assert len((await house.subjects.get("g", "ann")).encounters) == 1
    await house.subjects.delete(call("DeleteSubject"), "g", "ann")
    assert await house.found(b"ann") == []


async def test_a_retry_has_one_effect(house: House, tmp_path: Path) -> None:
    """Now and after a restart; with other templates it is refused."""
    first = await imported(house, ("ann", "bob"), request_id="q")
    again = await imported(house, ("ann", "bob"), request_id="q")
    assert (again.revision, again.repeated) == (first.revision, True)
    house.close()
    restarted = build_house(tmp_path, FakeVision())
    assert (await imported(restarted, ("ann", "bob"), request_id="q")).repeated
    assert len(await exported(restarted)) == 2
    with pytest.raises(RequestIdReused):
        await imported(restarted, ("ann", "eve"), request_id="q")
    assert await restarted.found(b"eve") == []
    restarted.close()


async def test_an_index_that_was_away_gets_its_rows(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts in the records is brought to it until it takes it."""
    monkeypatch.setattr(bulk_import, "_PAUSE_S", 0)
    add = house.index.add

    async def fail(*_: object) -> None:
        house.index.add = add  # type: ignore[method-assign]
        raise StoreUnavailable("the index is away")

    house.index.add = fail  # type: ignore[method-assign]
    assert (await imported(house, ("ann", "bob"))).searchable == 2
    assert await house.found(b"ann") == ["ann"]


async def test_a_gallery_deleted_meanwhile_keeps_nothing(house: House, tmp_path: Path) -> None:
    """What was written after the deletion goes as well."""
    gallery = await house.galleries.get("g")
    importing = importer(house)(call("ImportTemplates"), "g", "fake-1", batches(("ann",), ("bob",)))
    await anext(importing)
    await house.galleries.delete(call("DeleteGallery"), "g")
    with pytest.raises(GalleryNotFound):
        _ = [one async for one in importing]
    assert not list(tmp_path.rglob(f"*{gallery.gallery_id}*/*"))


@pytest.mark.parametrize(
    ("sent", "version", "error", "field"),
    [
        ([("ann",), ("../bob",)], "fake-1", InvalidField, "subject_id"),
        ([], "fake-1", InvalidField, "subject_ids"),
        ([("ann",)], "fake-2", TemplateVersionMismatch, "template_version"),
    ],
)
async def test_a_refused_import_changes_nothing(
    house: House, sent: Sequence[Sent], version: str, error: type[FacegridError], field: str
) -> None:
    """However much was received before."""
    with pytest.raises(error) as caught:
        await imported(house, *sent, version=version)
    assert caught.value.field == field
    assert await exported(house) == []


async def test_a_bad_template_late_in_the_stream_changes_nothing(house: House) -> None:
    """Encounters are named by their number in the stream."""

    async def spoiled() -> AsyncIterator[SentColumns]:
        async for sent in batches(("ann", "bob")):
            yield sent
        vector = np.full_like(fake_template(b"x").vector, np.nan)
        yield SentColumns(2, ["eve"], [], [], vector.tobytes(), [])

    with pytest.raises(InvalidTemplate, match="encounter 2"):
        _ = [one async for one in importer(house)(call("ImportTemplates"), "g", "fake-1", spoiled())]
    assert await exported(house) == []


async def test_a_gallery_with_quality_rules_takes_no_import(house: House) -> None:
    """Nobody can measure a template."""
    await house.galleries.create(
        call("CreateGallery"),
        "strict",
        pack_name="",
        verify_threshold=None,
        identify_threshold=None,
        keep_photographs=True,
        quality_rules=[QualityRule("inter_eye_distance", minimum=1)],
    )
    importing = importer(house)(call("ImportTemplates"), "strict", "fake-1", batches(("ann",)))
    with pytest.raises(QualityTooLow):
        await anext(importing)


async def test_photographs_follow_their_encounters(house: House) -> None:
    """Those that are kept, where they are asked for."""
    await house.add("ann", b"ann", b"ann#2")
    await imported(house, ("bob",))
    found = await exported(house, photographs=True)
    (ann,) = [one for one in found if isinstance(one, Encounter) and one.subject_id == "ann"]
    kept = [one for one in found if isinstance(one, ExportedPhotograph)]
    assert [(one.encounter, one.sample, one.photograph) for one in kept] == [
        (ann, 0, b"ann"),
        (ann, 1, b"ann#2"),
    ]
    assert len(await exported(house)) == 2


async def test_a_token_that_none_was_given_is_refused(house: House) -> None:
    """It is no cursor."""
    exporting = ExportTemplates(house.galleries, house.records)("g", "../x", photographs=False)
    with pytest.raises(InvalidField, match="page_token"):
        await anext(exporting)


async def test_an_export_does_not_go_on_in_another_template_version(house: House) -> None:
    """What was exported before a gallery moved to another pack is not mixed with what it holds now."""
    exporting = ExportTemplates(house.galleries, house.records)("g", f"{0:08}-{0:032}", photographs=False)
    with pytest.raises(InvalidField, match="moved to another pack"):
        await anext(exporting)
