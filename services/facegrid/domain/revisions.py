"""A gallery's revisions: what a mutation returns, so that a later search can insist on having seen it."""

import time

from facegrid.domain.errors import InvalidField
from facegrid.domain.galleries import Gallery


def next_revision(last: int) -> int:
    """Return a number above `last` and above any that an earlier process gave: the clock in microseconds."""
    return max(last + 1, time.time_ns() // 1000)


def revision_token(gallery_id: str, revision: int) -> str:
    """Return the opaque form that clients hold."""
    return f"{gallery_id}-{revision:x}"


def revision_from_token(gallery: Gallery, token: str) -> int:
    """Return the number in a token of this gallery. Raises InvalidField.

    What a migration's other gallery has acknowledged is in this one as well: such a token asks for nothing.
    """
    owner, _, number = token.rpartition("-")
    if owner in gallery.former_ids or (gallery.twin and owner == gallery.twin.gallery_id):
        return 0
    try:
        if owner == gallery.gallery_id:
            return int(number, 16)
    except ValueError:
        pass
    raise InvalidField(
        "min_revision is not a revision of this gallery; send one that a call on it returned",
        field="min_revision",
    )
