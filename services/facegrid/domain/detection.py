"""How faces are searched for in a photograph."""

import math
from dataclasses import dataclass
from enum import Enum

from facegrid.domain.errors import InvalidField


class DetectionMode(Enum):
    """Whether boxes and templates must be those of the models' makers, or the photograph soon done."""

    REFERENCE = "reference"
    FAST = "fast"


@dataclass(frozen=True, slots=True)
class DetectionOptions:
    """What a request asks of the search; None means what the server is set to.

    `smallest_face_px` is the shorter side of the smallest face that must be found, in pixels of the
    photograph. 0 means what one look at the whole photograph shows.
    """

    mode: DetectionMode | None = None
    smallest_face_px: float = 0.0
    any_rotation: bool | None = None

    def resolved(self, server: "DetectionOptions", limit_px: float) -> "DetectionOptions":
        """Return the options with the server's in place of None. Raises InvalidField.

        A face below `limit_px` is never used, so that none may be asked for.
        """
        asked = self.smallest_face_px
        if asked and not (math.isfinite(asked) and asked >= limit_px):
            raise InvalidField(
                f"detection.smallest_face_px is {asked:g} and this server's limit is {limit_px:g}; "
                f"ask for {limit_px:g} or more, or leave it out",
                field="detection.smallest_face_px",
            )
        rotation = server.any_rotation if self.any_rotation is None else self.any_rotation
        return DetectionOptions(self.mode or server.mode, asked, rotation)


SERVER_DEFAULT = DetectionOptions()
