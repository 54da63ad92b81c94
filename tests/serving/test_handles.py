"""What the use cases meet where the models run in other processes: answers, and the errors of the ports."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from facegrid.domain.detection import SERVER_DEFAULT
from facegrid.domain.errors import (
    ConfigurationError,
    FaceTooSmall,
    ModelUnavailable,
    Overloaded,
    PackNotFound,
)
from facegrid.domain.faces import Detection
from facegrid.serving import handles
from facegrid.serving.handles import Handle, RayVision
from facegrid.vision.packs import PackFolder
from fakes import fake_template

_NOTHING = Detection(1, 1, ())
_CROPS = np.zeros((1, 8, 8, 3), np.uint8)


class FakeMethod:
    """A tier's method: each call comes to the next outcome; an event is waited for."""

    def __init__(self, *outcomes: Any) -> None:
        """Know what the calls come to."""
        self._outcomes = iter(outcomes)
        self.calls: list[tuple[Any, ...]] = []
        self.cancelled = False

    async def remote(self, *arguments: Any) -> Any:
        """Come to the next outcome."""
        self.calls.append(arguments)
        outcome = next(self._outcomes)
        if isinstance(outcome, BaseException) and not isinstance(outcome, FaceTooSmall):
            raise outcome
        if isinstance(outcome, asyncio.Event):
            await self._wait(outcome)
        return outcome

    async def _wait(self, event: asyncio.Event) -> None:
        try:
            await event.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


class FakeTier:
    """A deployment with the methods of all tiers."""

    def __init__(self, *outcomes: Any) -> None:
        """Know what the calls of any method come to."""
        self.detect = self.embed = self.read = FakeMethod(*outcomes)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handles, "_PAUSES_S", (0, 0))


def vision(tier: FakeTier, packs: Path) -> RayVision:
    """Return the ports over a tier."""
    handle = cast("Handle", tier)
    return RayVision(PackFolder(packs), handle, handle, handle)


def died() -> list[Exception]:
    """Return what a call may raise whose replica ended under it."""
    return [ActorDiedError(), ActorUnavailableError("gone", b"0" * 16)]


async def test_a_photograph_travels_once(tmp_path: Path) -> None:
    """The tier gets the photograph and all that goes with it, and its answer is the port's."""
    tier = FakeTier(_NOTHING)
    assert await vision(tier, tmp_path).detect(b"photo", "open", ["dlib-150"], SERVER_DEFAULT) is _NOTHING
    assert tier.detect.calls == [(b"photo", "open", ("dlib-150",), SERVER_DEFAULT)]


@pytest.mark.parametrize("error", [*died(), asyncio.CancelledError()], ids=lambda error: type(error).__name__)
async def test_a_call_whose_replica_ended_is_made_again(error: BaseException, tmp_path: Path) -> None:
    """Two replicas may end under a call; the third try is answered."""
    tier = FakeTier(error, error, _NOTHING)
    assert await vision(tier, tmp_path).detect(b"photo", "open", [], SERVER_DEFAULT) is _NOTHING


async def test_what_ends_three_replicas_ends_no_fourth(tmp_path: Path) -> None:
    """The tries are bounded, and the client is told to retry."""
    tier = FakeTier(*died(), ActorDiedError(), _NOTHING)
    with pytest.raises(ModelUnavailable):
        await vision(tier, tmp_path).detect(b"photo", "open", [], SERVER_DEFAULT)
    assert len(tier.detect.calls) == 3


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (BackPressureError(8, 8), Overloaded),
        (DeploymentUnavailableError(cast("Any", "Detector")), ModelUnavailable),
        (RayTaskError("detect", "Traceback: secret", ValueError("x")).as_instanceof_cause(), ValueError),
        (FaceTooSmall("small", field="photograph"), FaceTooSmall),
    ],
    ids=["full", "not deployed", "fault", "domain"],
)
async def test_an_error_is_one_of_the_ports(
    raised: Exception, expected: type[Exception], tmp_path: Path
) -> None:
    """What Ray raises becomes a domain error, what a tier raised is itself again; neither is tried twice."""
    tier = FakeTier(raised, _NOTHING)
    with pytest.raises(expected) as caught:
        await vision(tier, tmp_path).detect(b"photo", "open", [], SERVER_DEFAULT)
    assert type(caught.value) is expected
    assert "secret" not in str(caught.value)
    assert len(tier.detect.calls) == 1


async def test_a_cancelled_call_ends_in_the_tier(tmp_path: Path) -> None:
    """The caller's cancellation, by which its deadline ends a call as well, reaches the replica."""
    tier = FakeTier(asyncio.Event(), _NOTHING)
    call = asyncio.create_task(vision(tier, tmp_path).detect(b"photo", "open", [], SERVER_DEFAULT))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert tier.detect.cancelled
    assert len(tier.detect.calls) == 1


async def test_packs_are_those_of_the_node(open_pack_root: Path) -> None:
    """A pack is known from its manifest, and an unknown one is refused before any tier is called."""
    ports = vision(FakeTier(), open_pack_root)
    assert ports.pack("open").name == "open"
    with pytest.raises(PackNotFound):
        await ports.warm("other")


async def test_templates_of_another_version_are_refused(open_pack_root: Path) -> None:
    """A replica that loaded another version of the pack enrols nobody."""
    ours = vision(FakeTier(), open_pack_root).pack("open").template_version
    right = replace(fake_template(b"ann"), version=ours)
    assert await vision(FakeTier([right]), open_pack_root).embed(_CROPS, "open") == [right]
    with pytest.raises(ConfigurationError, match=r"fake-1 in the Embedder"):
        await vision(FakeTier([fake_template(b"ann")]), open_pack_root).embed(_CROPS, "open")
