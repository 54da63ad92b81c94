"""Export: all encounters of a gallery with their templates and, where asked for, their photographs."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from zlib import crc32

from facegrid.domain.errors import InvalidField
from facegrid.domain.galleries import Encounter
from facegrid.identity.galleries import Galleries
from facegrid.identity.ports import Records

_PAGE, _PAGE_WITH_PHOTOGRAPHS = 16_384, 256  # encounters; what is sent again where an export broke off
_TOKEN = re.compile(r"(?:([0-9a-f]{8})-([0-9a-f]{32}))?")


@dataclass(frozen=True, slots=True)
class ExportedPhotograph:
    """The photograph of a sample of an encounter."""

    encounter: Encounter
    sample: int
    photograph: bytes = field(repr=False)


class ExportTemplates:
    """Reads galleries as they stand."""

    def __init__(self, galleries: Galleries, records: Records) -> None:
        """Take the galleries and the records."""
        self._galleries, self._records = galleries, records

    async def __call__(
        self, gallery_name: str, page_token: str, *, photographs: bool
    ) -> AsyncIterator[Encounter | ExportedPhotograph | str]:
        """Yield encounters, each before its photographs, and after each page the token that goes on there.

        Raises GalleryNotFound, and InvalidField for a token of another template version.
        """
        gallery = await self._galleries.get(gallery_name)
        version = f"{crc32(gallery.template_version.encode()):08x}"
        token, more = _check_token(page_token, version), True
        rows = _PAGE_WITH_PHOTOGRAPHS if photographs else _PAGE
        while more:
            page, token = await self._records.export_page(gallery, token, rows)
            for encounter in page:
                yield encounter
                for number, sample in enumerate(encounter.samples if photographs else ()):
                    kept = sample.photograph_kept
                    photograph = await self._records.photograph(gallery, encounter, number) if kept else None
                    if photograph is not None:
                        yield ExportedPhotograph(encounter, number, photograph)
            yield f"{version}-{token}" if token else ""
            more = bool(token)


def _check_token(page_token: str, version: str) -> str:
    """Return where to go on. Raises InvalidField."""
    found = _TOKEN.fullmatch(page_token)
    if not found:
        raise InvalidField("page_token is none that an answer of this call had", field="page_token")
    if found[1] not in (None, version):
        raise InvalidField(
            "page_token is from before the gallery moved to another pack; begin the export again",
            field="page_token",
        )
    return found[2] or ""
