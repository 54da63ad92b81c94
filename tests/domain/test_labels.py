"""Labels: what is too much."""

import pytest

from facegrid.domain.errors import InvalidField
from facegrid.domain.labels import Labels, check_labels


def test_metadata_fits_into_every_index() -> None:
    """Of texts that are each short enough, all together may be too long."""
    check_labels(Labels({f"key{number}": "x" * 900 for number in range(64)}))
    with pytest.raises(InvalidField, match="60000 bytes"):
        check_labels(Labels({f"key{number}": "ü" * 900 for number in range(64)}))
