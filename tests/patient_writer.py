"""A writer whose server stays while what it stores in goes: it is refused, and asks again."""

import threading
import time
from collections.abc import Callable

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from writer import Person, Writer

_RECOVERY_S = 120
_PAUSE_S = 0.1


class PatientWriter(Writer):
    """Goes on through outages; counts the calls that were UNAVAILABLE and those made again."""

    timeout_s = 10
    looks = 2  # the server may carry the change through during the first
    refused = retried = 0

    def endure(self, channel: grpc.Channel, stopping: threading.Event) -> None:
        """Go on, whatever goes and comes back, until told to stop."""
        while not stopping.is_set():
            self._tried(lambda: self._step(channel, self._random.choice(self.people)))

    def recover(self, channel: grpc.Channel) -> None:
        """Make each call in doubt again until all is as it was acknowledged, or it takes too long."""
        deadline = time.monotonic() + _RECOVERY_S
        while not self._tried(lambda: self.settle(channel)):
            assert time.monotonic() < deadline, "the server did not recover"

    def _step(self, channel: grpc.Channel, person: Person) -> None:
        if mutation := person.doubt:
            self.retried += 1
            self._mutate(channel, person, mutation)
            self._check(channel, person)
        elif self._random.random() < 0.3:
            self._check(channel, person)
        else:
            self._mutate(channel, person, self._plan(person))

    def _tried(self, call: Callable[[], None]) -> bool:
        """Say whether a call was answered, or else that it may be made again. Raises any other refusal."""
        try:
            call()
        except grpc.RpcError as error:
            if not _is_outage(error):
                raise
            self.refused += 1
            time.sleep(_PAUSE_S)
            return False
        return True


def _is_outage(error: grpc.RpcError) -> bool:
    """Say whether a refusal is UNAVAILABLE and says when to try again."""
    status, retry = rpc_status.from_call(error), error_details_pb2.RetryInfo()
    delays = [retry.retry_delay.seconds for one in (status.details if status else ()) if one.Unpack(retry)]
    return error.code() is grpc.StatusCode.UNAVAILABLE and any(delay > 0 for delay in delays)
