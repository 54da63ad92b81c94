"""What a request asks of the search, over what the server is set to."""

import pytest

from facegrid.domain.detection import SERVER_DEFAULT, DetectionMode, DetectionOptions
from facegrid.domain.errors import InvalidField

SERVER = DetectionOptions(DetectionMode.FAST, any_rotation=True)


def test_the_request_comes_first() -> None:
    """What a request leaves open is the server's, what it says is its own."""
    assert SERVER_DEFAULT.resolved(SERVER, 20) == SERVER
    asked = DetectionOptions(DetectionMode.REFERENCE, 40, any_rotation=False)
    assert asked.resolved(SERVER, 20) == asked


@pytest.mark.parametrize("size", [19.9, -1, float("nan"), float("inf")])
def test_sizes_that_cannot_be_asked_for(size: float) -> None:
    """A face below the server's limit is never used, so that looking for it is refused with the limit."""
    with pytest.raises(InvalidField, match="limit is 20; ask for 20 or more") as caught:
        DetectionOptions(smallest_face_px=size).resolved(SERVER, 20)
    assert caught.value.field == "detection.smallest_face_px"
