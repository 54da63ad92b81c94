"""One ONNX model in memory."""

from pathlib import Path

import numpy as np
import onnxruntime

from facegrid.domain.faces import Floats
from facegrid.vision.convert.batchable import batchable
from facegrid.vision.manifest import PackError

_ERRORS_ONLY = 3


class Session:
    """A model with one float32 input, on the GPU where the installed ONNX Runtime can use one.

    `output_shapes` has None for axes that are not fixed. Safe to run from several threads.
    """

    def __init__(self, path: Path, threads: int) -> None:
        """Load the file; one run uses `threads` CPU threads. Raises PackError."""
        try:
            model = batchable(path)
            self._session = onnxruntime.InferenceSession(
                path if model is None else model, _options(threads), providers=_providers()
            )
        except Exception as error:  # ONNX Runtime's own errors have no public base class
            raise PackError(
                f"{path.name} does not load as an ONNX model; copy or build the file again ({error})"
            ) from error
        source = self._session.get_inputs()[0]
        self._input = source.name
        self.runs_batches = model is not None
        self.output_shapes = [
            tuple(axis if isinstance(axis, int) else None for axis in output.shape)
            for output in self._session.get_outputs()
        ]

    def run(self, batch: Floats) -> list[Floats]:
        """Return the outputs for a batch, which has at least one item.

        Where neither the file nor a rewrite of it takes a batch, the items run one by one and their
        outputs are joined.
        """
        if self.runs_batches or len(batch) == 1:
            return list(self._session.run(None, {self._input: batch}))
        each = [self._session.run(None, {self._input: batch[i : i + 1]}) for i in range(len(batch))]
        return [np.concatenate(outputs) for outputs in zip(*each, strict=True)]


def cuda_is_used() -> bool:
    """Return whether sessions run on a GPU."""
    return "CUDAExecutionProvider" in _providers()


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
