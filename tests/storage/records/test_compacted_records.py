"""What records promise holds as well where every change is compacted at once."""

from collections.abc import AsyncIterator, Sequence

import pytest

from facegrid.domain.calls import Call
from facegrid.domain.galleries import Encounter, Gallery, Tombstone
from facegrid.storage.objects.files import LocalObjectStore
from facegrid.storage.records.records import StoredRecords
from storage.making import compact
from storage.records.test_records import (  # noqa: F401  # the tests themselves, with the records of this module
    test_a_claim_knows_its_call_again,
    test_a_subject_has_its_encounters_oldest_first,
    test_a_tombstone_is_found_by_its_call_and_hides_its_encounters,
    test_an_encounter_is_read_as_it_was_committed,
    test_erasing_nothing_reads_nothing,
    test_photographs_are_kept_as_they_came_and_keys_name_nobody,
    test_subjects_are_paged_without_gaps,
    test_the_last_encounter_takes_its_subject_along,
    test_the_replaced_are_gone_before_they_are_erased,
)


class CompactingRecords(StoredRecords):
    """Records without small objects."""

    async def commit(
        self, gallery: Gallery, encounter: Encounter, photographs: Sequence[bytes | None]
    ) -> None:
        """Commit and compact."""
        await super().commit(gallery, encounter, photographs)
        await compact(self, gallery)

    async def bury(self, gallery: Gallery, tombstone: Tombstone, call: Call) -> None:
        """Bury and compact."""
        await super().bury(gallery, tombstone, call)
        await compact(self, gallery)

    async def erase(self, gallery: Gallery, subject_id: str, encounter_ids: Sequence[str]) -> None:
        """Erase and compact."""
        await super().erase(gallery, subject_id, encounter_ids)
        await compact(self, gallery)


@pytest.fixture
async def records(store: LocalObjectStore) -> AsyncIterator[StoredRecords]:
    """Open the records of the store."""
    opened = CompactingRecords(store, workers=4)
    yield opened
    opened.close()
