"""Extraction of many photographs on Ray Data: reading, detecting and embedding, each in actors of its own.

What is found goes to the server with its photograph. A photograph that nothing was found in goes without, so
that the server alone says what is wrong with it.
"""

import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from facegrid.domain.errors import ConfigurationError
from facegrid.gateway import convert
from facegrid.serving.ray_environment import LOOPBACK_ONLY, RAY_ENVIRONMENT
from facegrid.settings import Settings
from facegrid.v1 import types_pb2 as pb

os.environ.update(
    {**RAY_ENVIRONMENT, **({} if os.environ.get("RAY_ADDRESS") else LOOPBACK_ONLY), **os.environ}
)

import ray  # after the line above
from ray.data import ActorPoolStrategy, DataContext, Dataset
from ray.exceptions import RayError

from facegrid.serving.ray_stages import Detector, Embedder, Reader, ReadPhotograph, Task, Work

Extract: TypeAlias = Callable[..., Iterator[Work]]

# Of a core: one actor of each stage fits into one, and another detector into each further one.
_CPUS: dict[type[Any], float] = {Reader: 0.1, Detector: 0.8, Embedder: 0.1}
_ACTORS_A_GPU = 4
_BATCH = 16
_OBJECT_STORE_BYTES = 512 * 2**20
_CONNECT_S = 10


@contextmanager
def extraction_on_ray() -> Iterator[Extract]:
    """Join the cluster that RAY_ADDRESS names, or start a Ray of this machine's own, until the context ends.

    Begin before gRPC does, whose threads forks of this process would trouble. Raises ConfigurationError.
    """
    _join_ray()
    try:
        yield _extract
    finally:
        ray.shutdown()


def _extract(
    gallery: pb.Gallery,
    faces: int,
    detection: pb.DetectionOptions,
    open_source: Callable[[], ReadPhotograph],
    names: Iterable[tuple[int, str]],
) -> Iterator[Work]:
    """Extract photographs, which `open_source` reads on the nodes, by row and name; yields them in order.

    Raises ConfigurationError.
    """
    cluster: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    works = [{"work": Work(row, name)} for row, name in names]
    if not works:
        return
    task = Task(
        gallery.pack,
        gallery.template_version,
        convert.selection_of(faces),
        convert.detection_of(detection),
        1 / _ACTORS_A_GPU if "GPU" in cluster and Settings().device != "cpu" else 0,
    )
    data: Dataset = ray.data.from_items(works)
    for stage, argument in ((Reader, open_source), (Detector, task), (Embedder, task)):
        data = data.map_batches(
            stage,
            fn_constructor_args=(argument,),
            batch_size=_BATCH,
            num_cpus=_CPUS[stage],
            num_gpus=0 if stage is Reader else task.gpu,
            compute=ActorPoolStrategy(min_size=1, max_size=max(1, int(cluster.get("CPU", 0)))),
        )
    try:
        for row in data.iter_rows():
            if row["work"].fault:
                raise ConfigurationError(f"on the Ray cluster: {row['work'].fault}")
            yield row["work"]
    except RayError as error:
        raise ConfigurationError(f"the Ray cluster ended the work ({type(error).__name__})") from error


def _join_ray() -> None:
    for name in ("ray", "ray.data"):  # what it has to say stands in the logs of its session
        logging.getLogger(name).setLevel(logging.CRITICAL)
    address = os.environ.get("RAY_ADDRESS", "")
    try:
        if address:
            _check_reachable(address)
            ray.init(address, log_to_driver=False, configure_logging=False)
        else:
            _start_ray()
    except Exception as error:  # Ray raises that very class where a busy machine takes over 30 s
        problem = f"Ray cannot be reached at {address}; check RAY_ADDRESS" if address else "Ray did not start"
        raise ConfigurationError(f"{problem}, and try again ({error})") from error
    context = DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False


def _check_reachable(address: str) -> None:
    """Raise OSError where nothing listens, which Ray would try for a quarter of an hour."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()


def _start_ray() -> None:
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    ray.init(
        "local",
        include_dashboard=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        log_to_driver=False,
        configure_logging=False,
    )
