"""Export: all encounters of a gallery with their templates and, where asked for, their photographs."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from facegrid.domain.errors import InvalidField
from facegrid.domain.galleries import Encounter
from facegrid.identity.galleries import Galleries
from facegrid.identity.ports import Records

_PAGE, _PAGE_WITH_PHOTOGRAPHS = 16_384, 256  # encounters; what is sent again where an export broke off
_TOKEN = re.compile(r"([0-9a-f]{32})?")


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

        Raises GalleryNotFound.
        """
        gallery = await self._galleries.get(gallery_name)
        token, more = _check_token(page_token), True
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
            yield token
            more = bool(token)


def _check_token(page_token: str) -> str:
    if not _TOKEN.fullmatch(page_token):
        raise InvalidField("page_token is none that an answer of this call had", field="page_token")
    return page_token
