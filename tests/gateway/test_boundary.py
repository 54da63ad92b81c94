"""The boundary around each kind of method, in a server of its own with handlers of the tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from facegrid.domain.access import Rights
from facegrid.domain.errors import InvalidField, Unauthenticated
from facegrid.gateway import boundary as boundary_module
from facegrid.gateway.access import AccessControl
from facegrid.gateway.boundary import Boundary
from facegrid.metrics import Metrics
from facegrid.v1.identity_service_pb2 import VerifyRequest

_LARGEST, _MOST_CALLS = 1000, 8
_Context = grpc.aio.ServicerContext[Any, Any]


class _Echo:
    """Sends each message back; the subject "bad" is refused, "fault" is a fault, "wait" is not answered."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def one(self, request: VerifyRequest, _: _Context) -> VerifyRequest:
        return await self._answer(request)

    async def spread(self, request: VerifyRequest, _: _Context) -> AsyncIterator[VerifyRequest]:
        try:
            yield request
            yield await self._answer(request)
        finally:
            self.closed.set()

    async def gather(self, requests: AsyncIterator[VerifyRequest], _: _Context) -> VerifyRequest:
        return VerifyRequest(subject_id=str(len([await self._answer(one) async for one in requests])))

    async def each(self, requests: AsyncIterator[VerifyRequest], _: _Context) -> AsyncIterator[VerifyRequest]:
        async for request in requests:
            yield await self._answer(request)

    async def _answer(self, request: VerifyRequest) -> VerifyRequest:
        match request.subject_id:
            case "bad":
                raise InvalidField("subject_id is bad", field="subject_id")
            case "fault":
                raise RuntimeError("a secret")
            case "wait":
                await asyncio.Event().wait()
        return request


@pytest.fixture
async def echo() -> _Echo:
    """Make the handlers."""
    return _Echo()


class _Door:
    """Stands where access control does, and knows nobody once it is open."""

    def __init__(self) -> None:
        self.waiting, self.open = 0, asyncio.Event()

    async def rights(self, _: _Context) -> Rights:
        self.waiting += 1
        await self.open.wait()
        raise Unauthenticated("nobody is known")


@pytest.fixture
async def boundary() -> Boundary:
    """Make one that lets anyone in."""
    return Boundary(_LARGEST, _MOST_CALLS, Metrics(), {})


@pytest.fixture
async def call(echo: _Echo, boundary: Boundary) -> AsyncIterator[dict[str, Any]]:
    """Serve the handlers behind a boundary; yields what calls each of them."""
    async with _serving(echo, boundary) as methods:
        yield methods


@asynccontextmanager
async def _serving(echo: _Echo, boundary: Boundary) -> AsyncIterator[dict[str, Any]]:
    server = grpc.aio.server(interceptors=[boundary])
    coders = {"request_deserializer": VerifyRequest.FromString, "response_serializer": _to_bytes}
    methods = {
        "One": grpc.unary_unary_rpc_method_handler(echo.one, **coders),
        "Spread": grpc.unary_stream_rpc_method_handler(echo.spread, **coders),
        "Gather": grpc.stream_unary_rpc_method_handler(echo.gather, **coders),
        "Each": grpc.stream_stream_rpc_method_handler(echo.each, **coders),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("facegrid.v1.Echo", methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        coders = {"request_serializer": _to_bytes, "response_deserializer": VerifyRequest.FromString}
        yield {
            "One": channel.unary_unary("/facegrid.v1.Echo/One", **coders),
            "Spread": channel.unary_stream("/facegrid.v1.Echo/Spread", **coders),
            "Gather": channel.stream_unary("/facegrid.v1.Echo/Gather", **coders),
            "Each": channel.stream_stream("/facegrid.v1.Echo/Each", **coders),
        }
    await server.stop(None)


def _to_bytes(message: VerifyRequest) -> bytes:
    return message.SerializeToString()


async def _answers(call: dict[str, Any], kind: str, *subjects: str) -> list[str]:
    """Call a method of some kind; a method that takes one message gets the first."""
    requests = [VerifyRequest(subject_id=subject) for subject in subjects]
    made = call[kind](requests[0] if kind in {"One", "Spread"} else iter(requests))
    if kind in {"One", "Gather"}:
        return [(await made).subject_id]
    return [answer.subject_id async for answer in made]


async def _failure(call: dict[str, Any], kind: str, *subjects: str) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await _answers(call, kind, *subjects)
    return failed.value


async def test_all_kinds_of_methods_answer(call: dict[str, Any]) -> None:
    """Messages pass in both directions, one or many, in their order."""
    assert await _answers(call, "One", "a") == ["a"]
    assert await _answers(call, "Spread", "a") == ["a", "a"]
    assert await _answers(call, "Gather", "a", "b", "c") == ["3"]
    assert await _answers(call, "Each", "a", "b", "c") == ["a", "b", "c"]


async def test_a_stream_may_be_empty(call: dict[str, Any]) -> None:
    """A method that takes a stream is asked even where no message comes."""
    assert await _answers(call, "Gather") == ["0"]
    assert await _answers(call, "Each") == []


@pytest.mark.parametrize(
    ("kind", "subjects"),
    [("One", ["bad"]), ("Spread", ["bad"]), ("Gather", ["a", "bad"]), ("Each", ["a", "bad"])],
)
async def test_an_error_has_its_reason(call: dict[str, Any], kind: str, subjects: list[str]) -> None:
    """Whenever a method raises an error of ours, the call ends with its code and reason."""
    failure = await _failure(call, kind, *subjects)
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(failure)
    assert status
    assert status.details[0].Unpack(info)
    assert (failure.code(), info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


@pytest.mark.parametrize("kind", ["One", "Spread", "Gather", "Each"])
async def test_a_fault_says_nothing(call: dict[str, Any], kind: str) -> None:
    """What was not foreseen is INTERNAL, and its words stay here."""
    failure = await _failure(call, kind, "fault")
    assert failure.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(failure.details())


@pytest.mark.parametrize("kind", ["Gather", "Each"])
async def test_each_message_of_a_stream_is_measured(call: dict[str, Any], kind: str) -> None:
    """A message over the limit ends the stream, wherever it stands in it."""
    failure = await _failure(call, kind, "a", "b" * _LARGEST)
    assert failure.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("kind", ["One", "Spread", "Gather", "Each"])
async def test_bytes_that_are_no_message_are_the_callers_fault(call: dict[str, Any], kind: str) -> None:
    """They are refused as what a request must not hold."""
    call[kind]._request_serializer = lambda _: b"\xff"
    assert (await _failure(call, kind, "a")).code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_callers_take_no_room_before_they_are_known(echo: _Echo) -> None:
    """However many wait to be known, none is counted, and each hears that nobody knows it."""
    door = _Door()
    boundary = Boundary(_LARGEST, _MOST_CALLS, Metrics(), {}, cast("AccessControl", door))
    async with _serving(echo, boundary) as call:
        failures = [asyncio.create_task(_failure(call, "One", "a")) for _ in range(_MOST_CALLS + 1)]
        await _until(lambda: door.waiting == len(failures))
        assert boundary.calls == 0
        door.open.set()
        assert {one.code().name for one in await asyncio.gather(*failures)} == {"UNAUTHENTICATED"}


@pytest.mark.parametrize("kind", ["Gather", "Each"])
async def test_a_stream_without_a_message_is_counted_and_ends(
    call: dict[str, Any], boundary: Boundary, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """It takes room like any other, and not for long."""
    silent = call[kind](_nothing())
    await _until(lambda: boundary.calls == 1)
    silent.cancel()
    monkeypatch.setattr(boundary_module, "_FIRST_OF_STREAM_S", 0.01)
    made = call[kind](_nothing(), timeout=10)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await (made if kind == "Gather" else anext(aiter(made)))
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    await _until(lambda: boundary.calls == 0)


async def _nothing() -> AsyncIterator[VerifyRequest]:
    await asyncio.Event().wait()
    yield VerifyRequest()


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_cancelled_stream_is_closed(call: dict[str, Any], echo: _Echo) -> None:
    """Where the caller goes away in the middle, the method ends and cleans up."""
    made = call["Spread"](VerifyRequest(subject_id="wait"))
    assert (await anext(aiter(made))).subject_id == "wait"
    made.cancel()
    await asyncio.wait_for(echo.closed.wait(), 10)
