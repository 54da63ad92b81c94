"""What Identify costs beyond detection and embedding: a gallery of 10,000 templates, searched by template.

Run with `make bench`, or `python loadtests/identify.py [--templates N] [--searches N]`.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.progress import track

from facegrid.client import Client
from facegrid.log import configure_log
from facegrid.serving.local import LocalRuntime
from facegrid.serving.packs import build_open_pack
from facegrid.settings import Settings
from facegrid.v1 import types_pb2 as pb
from facegrid.v1.identity_service_pb2 import EnrollRequest, IdentifyRequest
from facegrid.v1.identity_service_pb2_grpc import IdentityServiceStub

_CALLERS = 8


def main() -> None:
    """Fill a gallery, search it, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--templates", type=int, default=10_000)
    parser.add_argument("--searches", type=int, default=500)
    options = parser.parse_args()
    configure_log(json=False, quiet=True)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=Path(folder, "data"), models=Path(folder, "models"))
        build_open_pack(settings.models)
        runtime = LocalRuntime(settings)
        try:
            measure(Client(runtime.start()), options.templates, options.searches)
        finally:
            runtime.stop()


def measure(client: Client, templates: int, searches: int) -> None:
    """Enrol random templates and search them one call after another."""
    gallery = client.create_gallery("bench")
    samples = list(random_samples(gallery.template_version, templates + searches))
    stub: IdentityServiceStub = client._identities  # noqa: SLF001  # templates are not in the plain client

    def enroll(sample: pb.Sample) -> None:
        stub.Enroll(EnrollRequest(gallery="bench", samples=[sample]))

    start = time.perf_counter()
    with ThreadPoolExecutor(_CALLERS) as pool:
        for _ in track(pool.map(enroll, samples[:templates]), "enrolling", templates):
            pass
    print(f"enrolled {templates} templates at {templates / (time.perf_counter() - start):.0f}/s")

    walls, inside = [], []
    for sample in samples[templates:]:
        start = time.perf_counter()
        answer = stub.Identify(IdentifyRequest(gallery="bench", probes=[sample]))
        walls.append(1000 * (time.perf_counter() - start))
        inside.append(answer.search.times.search_ms)
    print(f"Identify over {answer.search.subjects_searched} subjects, {searches} searches, one caller (ms)")
    for name, values in (("whole call", walls), ("search in the server", inside)):
        p99 = statistics.quantiles(values, n=100)[98]
        print(f"  {name:<21} median {statistics.median(values):6.2f}   p99 {p99:6.2f}")


def random_samples(version: str, count: int) -> Iterator[pb.Sample]:
    """Yield normalised random templates of 128 numbers."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        vector = rng.standard_normal(128, dtype=np.float32)
        vector /= np.linalg.norm(vector)
        yield pb.Sample(template=pb.Template(template_version=version, vector=vector.astype("<f4").tobytes()))


if __name__ == "__main__":
    main()
