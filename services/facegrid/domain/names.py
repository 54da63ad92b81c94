"""What names and ids may look like. They become parts of object keys, so the rule is strict."""

import re

from facegrid.domain.errors import InvalidField

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SHOWN = 40


def check_name(value: str, field: str) -> str:
    """Return the name unchanged. Raises InvalidField that names the field and the rule."""
    if not value:
        raise InvalidField(f"{field} is missing; it is required", field=field)
    if not _NAME.fullmatch(value):
        shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}… ({len(value)} characters)"
        raise InvalidField(
            f"{field} is {shown!r}; use 1 to 128 of A-Z a-z 0-9 . _ - and begin with a letter or digit",
            field=field,
        )
    return value
