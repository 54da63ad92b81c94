"""How far a long job is."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of a step is done; `total` is 0 where it is not known."""

    step: str
    done: int
    total: int


Report = Callable[[Progress], object]
