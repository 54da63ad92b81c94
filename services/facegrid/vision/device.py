"""Where models run: what was asked for, and what this machine can give."""

import math
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime

from facegrid.domain.errors import ConfigurationError

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_MIB = 1 << 20
_FATAL_ONLY = 4  # what fails here is told in a sentence of our own
_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True)
class Device:
    """What sessions run on. `half_precision` lets CUDA calculate with 16 bits; a CPU never does.

    A session on CUDA takes `memory_mib` of its memory at most; 0 is no limit.
    """

    kind: Literal["cpu", "cuda"] = "cpu"
    half_precision: bool = False
    memory_mib: int = 0

    @property
    def providers(self) -> list[Any]:
        """ONNX Runtime's providers with their options, in order of preference."""
        return [(_CUDA, self._cuda_options()), _CPU] if self.kind == "cuda" else [_CPU]

    def _cuda_options(self) -> dict[str, str]:
        limit = {"gpu_mem_limit": str(self.memory_mib * _MIB)} if self.memory_mib else {}
        return limit | {
            # Powers of two, the default, take up to twice what is needed of a device that others share.
            "arena_extend_strategy": "kSameAsRequested",
            # The default times every algorithm for each new shape: MTCNN's shapes are new with each
            # photograph, and a choice by time may differ, and move templates, from start to start.
            "cudnn_conv_algo_search": "HEURISTIC",
            # The default, stated: with a stream of its own a copy may overtake the run that needs it.
            "do_copy_in_default_stream": "1",
            # TF32, the default, keeps 10 bits of each number: templates would differ from a CPU's.
            "use_tf32": "1" if self.half_precision else "0",
        }


CPU = Device()


def choose_device(
    wanted: str,
    *,
    half_precision: bool = False,
    memory_mib: int = 0,
    available: Sequence[str] = (),
    session_gets_cuda: Callable[[], bool] | None = None,
) -> Device:
    """Return the device for "auto", "cpu" or "cuda"; "auto" takes CUDA where a session really gets it.

    What is `available` and whether a session gets it is asked of ONNX Runtime unless it is given. Raises
    ConfigurationError where CUDA is wanted and not to be had.
    """
    if wanted == "cpu":
        return CPU
    built_in = _CUDA in (available or onnxruntime.get_available_providers())
    if built_in and (session_gets_cuda or _session_gets_cuda)():
        return Device("cuda", half_precision, memory_mib)
    if wanted == "auto":
        return CPU
    raise ConfigurationError(
        "device is cuda, and no session gets it: install NVIDIA's driver, then CUDA and cuDNN with "
        "pip install 'onnxruntime-gpu[cuda,cudnn]', or set device to cpu"
        if built_in
        else "device is cuda, and the installed ONNX Runtime is built without it: replace it with "
        "pip uninstall onnxruntime && pip install 'facegrid[gpu]', or set device to cpu"
    )


def usable_cores(quota_file: Path = _CGROUP_QUOTA) -> int:
    """Return how many cores this process may keep busy: a container often has fewer than its machine."""
    cores = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # no cgroup, or "max" where there is no quota
        quota, period = map(int, quota_file.read_text("ascii").split())
        return max(1, min(cores, math.ceil(quota / period)))
    return cores


def _session_gets_cuda() -> bool:
    """Run a model of one node: a provider that lacks a library, a driver or a device is left out silently."""
    from onnx import TensorProto, helper  # noqa: PLC0415  # takes long to import, and few machines need it

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "probe", value[:1], value[1:])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    # ONNX Runtime's own errors have no public base class; what it prints is not a command's output.
    with suppress(Exception), redirect_stdout(sys.stderr):
        onnxruntime.preload_dlls()  # those that pip installed
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=Device("cuda").providers, enable_fallback=0
        )
        session.run(None, {"x": np.zeros(1, np.float32)})
        return bool(session.get_providers()[0] == _CUDA)
    return False
