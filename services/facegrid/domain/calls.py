"""Who calls, and how a call that is made again is recognised."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """What the use cases need to know of a call.

    `fingerprint` is a digest of a mutation's payload: the same `request_id` with another one is refused.
    `deadline` is when the caller gives up, on the monotonic clock in seconds; None where there is none.
    """

    method: str
    request_id: str
    fingerprint: str = ""
    deadline: float | None = None
    end_user: str = ""
