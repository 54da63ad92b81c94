"""What measurements of searches in galleries share: the probes, the calls, and how times are told."""

import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from facegrid.client import Client
from facegrid.v1 import types_pb2 as pb
from facegrid.v1.identity_service_pb2 import IdentifyRequest
from facegrid.v1.identity_service_pb2_grpc import IdentityServiceStub
from gallery_server import GALLERY, Filling
from templates import CHUNK, Templates, TemplateSource

_LONGEST_S = 600

T = TypeVar("T")


class Searches:
    """Identify by template through gRPC."""

    def __init__(self, client: Client, version: str) -> None:
        """Take a client and the version of the server's templates."""
        self._version = version
        self._stub: IdentityServiceStub = client._identities  # noqa: SLF001  # templates are not in the plain client

    def identify(self, probe: Templates) -> tuple[int, float]:
        """Return the number of the best subject and the score."""
        template = pb.Template(template_version=self._version, vector=probe.astype("<f4").tobytes())
        request = IdentifyRequest(
            gallery=GALLERY, probes=[pb.Sample(template=template)], include_below_threshold=True
        )
        best = self._stub.Identify(request, timeout=_LONGEST_S).results[0].candidates[0]
        return int(re.sub(r"\D", "", best.subject_id)), best.score

    def timed(self, probe: Templates) -> tuple[tuple[int, float], float]:
        """Return the answer and the milliseconds of the call."""
        return timed(lambda: self.identify(probe))


def probes_for(source: TemplateSource, filling: Filling, count: int) -> Templates:
    """Return templates of subjects from all over the gallery, and one in five of nobody in it."""
    chunks = -(-filling.templates // CHUNK)
    strangers = count // 5
    each = -(-(count - strangers) // chunks)
    mates = np.concatenate([source.mates(chunk, each) for chunk in range(chunks)])
    rng = np.random.default_rng(5)
    chosen = rng.permutation(mates)[: count - strangers]
    return rng.permutation(np.concatenate([chosen, source.strangers(strangers)]))


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """Return a call's result and its milliseconds."""
    start = time.perf_counter()
    result = call()
    return result, 1000 * (time.perf_counter() - start)


def memory_gb(process: int) -> float:
    """Return the most memory that a process has had so far, in GB."""
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(kilobytes) * 1024 / 1e9


def p50_p99(times: list[float]) -> str:
    """Return both in one word."""
    return f"{statistics.median(times):.1f} / {statistics.quantiles(times, n=100)[98]:.1f}"


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Return the median of the ratios, each of two measurements made one after the other."""
    return f"{statistics.median(one / other for one, other in zip(ours, theirs, strict=True)):.2f}"
