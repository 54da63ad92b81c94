"""Calls that move whole galleries: streams that go on where a connection breaks."""

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Self, TypeVar, cast
from uuid import uuid4

import grpc

from facegrid.client.errors import call_failed
from facegrid.client.patience import Patience, is_passing
from facegrid.v1 import bulk_service_pb2 as pb
from facegrid.v1.bulk_service_pb2_grpc import BulkServiceStub
from facegrid.v1.types_pb2 import RequestContext

T = TypeVar("T")


class BulkCalls:
    """Calls BulkService. They have no deadline, and are made again while the server is away."""

    def __init__(self, channel: grpc.Channel, target: str) -> None:
        """Take the connection and what it leads to."""
        self._stub, self._target = BulkServiceStub(channel), target

    def import_templates(
        self,
        gallery: str,
        template_version: str,
        batches: Callable[[], Iterable[pb.ImportTemplatesRequest]],
        *,
        request_id: str = "",
    ) -> Iterator[pb.ImportTemplatesResponse]:
        """Store encounters of templates, all or none; yields how far it has come, last the whole.

        `batches` returns messages with columns alone; it is called anew for each try.
        """
        context = RequestContext(request_id=request_id or uuid4().hex)
        first = pb.ImportTemplatesRequest(context=context, gallery=gallery, template_version=template_version)

        def call() -> Iterator[pb.ImportTemplatesResponse]:
            with _Feed(first, batches()) as feed:
                yield from feed.send(self._stub.ImportTemplates)

        return self._persist(call)

    def export_templates(
        self, gallery: str, *, photographs: bool = False, page_token: str = ""
    ) -> Iterator[pb.ExportTemplatesResponse]:
        """Yield all encounters, each once, and photographs after the encounters that they belong to.

        With the last `next_page_token` of an earlier call it goes on behind what that one yielded so far.
        """
        request = pb.ExportTemplatesRequest(
            gallery=gallery, include_photographs=photographs, page_token=page_token
        )
        seen: set[tuple[str, int]] = set()  # since the last place where it can go on
        for answer in self._persist(lambda: self._stub.ExportTemplates(request)):
            new = [one for one in answer.encounters if (one.encounter.encounter_id, -1) not in seen]
            seen.update((one.encounter.encounter_id, -1) for one in new)
            photograph = (answer.photograph.encounter_id, answer.photograph.sample)
            if new or answer.next_page_token or (photograph[0] and photograph not in seen):
                del answer.encounters[:]
                answer.encounters.extend(new)
                yield answer
            seen.add(photograph)
            if answer.next_page_token:
                request.page_token = answer.next_page_token
                seen.clear()

    def _persist(self, call: Callable[[], Iterator[T]]) -> Iterator[T]:
        """Yield a call's answers; where the server goes away, those of the same call made again follow."""
        patience = Patience()
        for _ in patience.tries():
            try:
                yield from call()
            except grpc.RpcError as error:
                failure = call_failed(cast("grpc.Call", error), self._target)
                if not is_passing(failure):
                    raise failure from None
            else:
                return
        raise failure


class _Feed:
    """The messages of a call, which grpc takes in a thread of its own.

    None is being made any more when the block ends. What goes wrong with one cancels the call, and is raised
    where the answers are read.
    """

    def __init__(
        self, first: pb.ImportTemplatesRequest, batches: Iterable[pb.ImportTemplatesRequest]
    ) -> None:
        self._messages = chain([first], batches)
        self._call: Any = None
        self._total = 0
        self._ended = False
        self._error: Exception | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._ended = True
            self._call.cancel()

    def send(self, method: Callable[..., Any]) -> Iterator[Any]:
        with self._lock:
            self._call = method(iter(self._take, None))
        try:
            yield from self._call
        except grpc.RpcError:
            if self._error:
                raise self._error from None
            raise

    def _take(self) -> pb.ImportTemplatesRequest | None:
        with self._lock:
            if self._ended:
                return None
            try:
                message = next(self._messages, None)
            except Exception as error:  # noqa: BLE001  # raised where the answers are read
                self._error, self._ended = error, True
                self._call.cancel()
                return None
            self._ended = message is None
            if message is None:
                return pb.ImportTemplatesRequest(total=self._total)
            self._total += sum(message.sample_counts) or len(message.subject_ids)
            return message
