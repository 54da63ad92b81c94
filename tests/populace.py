"""Subjects for tests that need many, enrolled by template."""

import asyncio

from facegrid.domain.faces import FaceSelection
from facegrid.domain.templates import SentTemplate
from facegrid.identity.enroll import EnrollMode
from fakes import fake_template
from house import House, call


async def enrol_people(house: House, *, one: int, several: int, prefix: str = "", gallery: str = "g") -> None:
    """Enrol subjects with one template, and subjects with three in as many encounters."""
    names = [f"{prefix}one{number}" for number in range(one)]
    names += [f"{prefix}several{number // 3}" for number in range(3 * several)]
    await asyncio.gather(
        *(_enrol(house, gallery, name, f"{name}#{number}".encode()) for number, name in enumerate(names))
    )


async def _enrol(house: House, gallery: str, name: str, photograph: bytes) -> None:
    template = fake_template(photograph)
    await house.enroll(
        call("Enroll", fingerprint=photograph.decode(), timeout_s=300),
        gallery,
        subject_id=name,
        mode=EnrollMode.ADD,
        samples=[SentTemplate(template.version, template.to_bytes(), 0.0)],
        selection=FaceSelection.EXACTLY_ONE,
    )
