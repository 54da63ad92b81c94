"""What is said of an encounter beside its face: metadata, sub-galleries, and whether searches find it."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from zlib import crc32

from facegrid.domain.errors import InvalidField
from facegrid.domain.names import check_name

Value = str | int | float | bool
_MOST_METADATA, _MOST_SUB_GALLERIES, _LONGEST_TEXT = 64, 32, 1024
_MOST_METADATA_BYTES = 60_000  # as JSON, of which Milvus takes 65,536 in all, sub-galleries included
_LARGEST_INTEGER = 2**63 - 1


class Status(Enum):
    """Whether searches find something; what is inactive is kept."""

    ACTIVE = "active"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of an encounter. `sub_galleries` name parts of the gallery that can be searched alone.

    `subject_status` is that of its subject, which every encounter of it carries.
    """

    metadata: Mapping[str, Value] = field(default_factory=dict)
    sub_galleries: tuple[str, ...] = ()
    status: Status = Status.ACTIVE
    subject_status: Status = Status.ACTIVE

    @property
    def searched(self) -> bool:
        """Whether searches and verifications count the encounter."""
        return self.status is self.subject_status is Status.ACTIVE


NO_LABELS = Labels()


def labels_checksum(labels: Labels) -> int:
    """Return the CRC-32 of metadata and sub-galleries, in any order; 0 where there are none."""
    said = sorted(labels.metadata.items()), sorted(set(labels.sub_galleries))
    return crc32(repr(said).encode()) if any(said) else 0


def check_labels(labels: Labels) -> Labels:
    """Return labels unchanged. Raises InvalidField for names, numbers or texts that cannot be searched."""
    if len(labels.metadata) > _MOST_METADATA:
        raise InvalidField(
            f"metadata has {len(labels.metadata)} entries; send {_MOST_METADATA} at most", field="metadata"
        )
    for key, value in labels.metadata.items():
        check_value(value, f"metadata[{check_name(key, 'metadata')}]")
    if len(json.dumps(dict(labels.metadata), ensure_ascii=False).encode()) > _MOST_METADATA_BYTES:
        raise InvalidField(
            f"metadata has more than {_MOST_METADATA_BYTES} bytes as JSON; shorten its texts",
            field="metadata",
        )
    if len(labels.sub_galleries) > _MOST_SUB_GALLERIES:
        raise InvalidField(f"sub_galleries names more than {_MOST_SUB_GALLERIES}", field="sub_galleries")
    for number, name in enumerate(labels.sub_galleries):
        check_name(name, f"sub_galleries[{number}]")
    return labels


def check_value(value: Value, field: str) -> Value:
    """Return a value of metadata or of a filter. Raises InvalidField."""
    if isinstance(value, str) and not (len(value) <= _LONGEST_TEXT and value.isprintable()):
        raise InvalidField(f"{field} is longer than {_LONGEST_TEXT} characters or not printable", field=field)
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidField(f"{field} is {value}, which is no finite number", field=field)
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:  # Milvus reads no -2^63
        raise InvalidField(f"{field} is {value}, which is beyond ±{_LARGEST_INTEGER}", field=field)
    return value
