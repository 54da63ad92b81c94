"""One ONNX model in memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np

# Read when the library is loaded: without it, ONNX Runtime keeps a device id in the home folder and reports.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime  # after the line above

from facegrid.domain.faces import Floats
from facegrid.vision.convert.batchable import batchable
from facegrid.vision.manifest import PackError

_ERRORS_ONLY = 3


class Session:
    """A model with one float32 input, on the GPU where the installed ONNX Runtime can use one.

    `input_shape` and `output_shapes` have None for axes that are not fixed. Safe to run from several
    threads: a run that is alone uses several cores, one that comes while another is under way a single
    core. On two cores, for SCRFD and MobileFaceNet, that serves one caller a third faster than one thread a
    run, and 16 callers 6 % faster than two threads a run.
    """

    def __init__(self, path: Path, threads: int) -> None:
        """Load the file; a run that is alone uses `threads` CPU threads. Raises PackError."""
        try:
            model = batchable(path)
            file = path if model is None else model
            self._alone = _inference(file, threads)
            self._among_others = self._alone if threads == 1 or cuda_is_used() else _inference(file, 1)
        except Exception as error:  # ONNX Runtime's own errors have no public base class
            raise PackError(
                f"{path.name} does not load as an ONNX model; copy or build the file again ({error})"
            ) from error
        self._runs, self._lock = 0, Lock()
        source = self._alone.get_inputs()[0]
        self._input, self.input_shape = source.name, _shape(source)
        self.runs_batches = model is not None
        self.output_shapes = [_shape(output) for output in self._alone.get_outputs()]

    def run(self, batch: Floats) -> list[Floats]:
        """Return the outputs for a batch, which has at least one item.

        Where neither the file nor a rewrite of it takes a batch, the items run one by one and their
        outputs are joined.
        """
        with self._claimed() as session:
            if self.runs_batches or len(batch) == 1:
                return list(session.run(None, {self._input: batch}))
            each = [session.run(None, {self._input: batch[i : i + 1]}) for i in range(len(batch))]
        return [np.concatenate(outputs) for outputs in zip(*each, strict=True)]

    @contextmanager
    def _claimed(self) -> Iterator[onnxruntime.InferenceSession]:
        with self._lock:
            session = self._among_others if self._runs else self._alone
            self._runs += 1
        try:
            yield session
        finally:
            with self._lock:
                self._runs -= 1


def cuda_is_used() -> bool:
    """Return whether sessions run on a GPU."""
    return "CUDAExecutionProvider" in _providers()


def _shape(value: onnxruntime.NodeArg) -> tuple[int | None, ...]:
    return tuple(axis if isinstance(axis, int) else None for axis in value.shape)


def _inference(source: Path | bytes, threads: int) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(source, _options(threads), providers=_providers())


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin while they wait cost more than they save as soon as another call wants the core.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _ERRORS_ONLY
    return options


def _providers() -> list[str]:
    available = onnxruntime.get_available_providers()
    return [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
