"""What the tests of migrations share: a gallery "g" that moves from the pack "fake" to "new"."""

from facegrid.domain.faces import FaceSelection
from facegrid.domain.galleries import Gallery
from facegrid.domain.templates import SentTemplate
from facegrid.identity.enroll import EnrollMode
from facegrid.identity.migrations import MigrationStatus
from fakes import fake_template
from house import House, call


async def start(house: House, *, shadow: float | None = None) -> MigrationStatus:
    """Begin to move."""
    return await house.migrations.start(
        "g", pack_name="new", verify_threshold=None, identify_threshold=None, shadow=shadow
    )


async def move(house: House, *, shadow: float | None = None) -> None:
    """Begin, and copy all."""
    await start(house, shadow=shadow)
    assert await house.migrate() == 1


async def cut_over(house: House, *, leave_behind: bool = False) -> MigrationStatus:
    """Search the new gallery."""
    return await house.migrations.cut_over(call("CutOver"), "g", leave_behind=leave_behind)


async def roll_back(house: House, *, leave_behind: bool = False) -> MigrationStatus:
    """Search the former gallery."""
    return await house.migrations.roll_back(call("RollBack"), "g", leave_behind=leave_behind)


async def finish(house: House, request_id: str = "", *, leave_behind: bool = False) -> None:
    """Remove the former gallery."""
    await house.migrations.finish(call("FinishMigration", request_id), "g", leave_behind=leave_behind)


async def cancel(house: House, request_id: str = "", *, leave_behind: bool = False) -> None:
    """Remove the new gallery."""
    await house.migrations.cancel(call("CancelMigration", request_id), "g", leave_behind=leave_behind)


async def add_template(house: House, subject: str, photograph: bytes) -> None:
    """Enrol a template of the gallery's pack, which no other pack can be made of."""
    version = (await house.galleries.get("g")).template_version
    vector = fake_template(photograph).to_bytes()
    await house.enroll(
        call("Enroll"),
        "g",
        subject_id=subject,
        mode=EnrollMode.ADD,
        samples=[SentTemplate(version, vector, 1.0)],
        selection=FaceSelection.EXACTLY_ONE,
    )


async def pair(house: House) -> tuple[Gallery, Gallery]:
    """Return the gallery that is searched and its twin."""
    gallery = await house.galleries.get("g")
    assert gallery.twin
    return gallery, gallery.twin


async def held(house: House, gallery: Gallery) -> dict[str, list[str]]:
    """Return the encounters of each subject of a gallery, by record."""
    subjects, _ = await house.records.subjects(gallery, "", 1000)
    found = [await house.records.subject(gallery, one.subject_id) for one in subjects]
    return {one.subject_id: [each.encounter_id for each in one.encounters] for one in found if one}
