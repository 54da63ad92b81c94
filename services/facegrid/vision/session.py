"""One ONNX model in memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import onnxruntime

from facegrid.domain.errors import Overloaded
from facegrid.domain.faces import Floats
from facegrid.vision.buckets import buckets, filled, unfilled
from facegrid.vision.convert.batchable import batchable
from facegrid.vision.convert.half import halved
from facegrid.vision.device import CPU, Device
from facegrid.vision.manifest import PackError

_ERRORS_ONLY = 3
# More items, or numbers in them, than these run in turns: what a run holds in memory stays bounded, as do
# the sizes of batches. SCRFD-2.5GF holds 52 MB for a picture of 640 × 640, and more gain a CPU nothing.
_LARGEST_RUN = 64
_MOST_NUMBERS = {"cpu": 2 * 3 * 640 * 640, "cuda": 8 * 3 * 640 * 640}
# What ONNX Runtime, CUDA, cuBLAS and cuDNN say; it has no class of error for this.
_OUT_OF_MEMORY = ("Failed to allocate memory", "out of memory", "bad_alloc", "bad allocation", "ALLOC_FAILED")
_LACKING = (
    "Could not find an implementation",
    "No Op registered",
    "not a registered function",
    "official released onnx opset",
    "Unsupported model IR version",
)


class Session:
    """A model with one float32 input.

    `input_shape` and `output_shapes` have None for axes that are not fixed; `batch_sizes` are those to run
    before the first request comes. Safe to run from several threads.

    On a CPU a run that is alone uses several threads, one that comes while another is under way a single
    one: as many runs as cores then keep every core busy, and none waits for another's threads. On two cores,
    for SCRFD and MobileFaceNet, that serves one caller a third faster than one thread a run, and 16 callers
    6 % faster than two threads a run, for the weights and buffers of a second session.

    On CUDA batches are filled up to powers of two: every shape was seen while the model was warmed.
    """

    def __init__(self, path: Path, threads: int, device: Device = CPU) -> None:
        """Load the file; on a CPU, a run that is alone uses `threads` threads. Raises PackError."""
        try:
            model = batchable(path)
            file = path if model is None else model
            if device.half_precision:
                file = halved(path, file)
            self._alone = _inference(file, threads, device)
            one_suffices = threads == 1 or device.kind == "cuda"
            self._among_others = self._alone if one_suffices else _inference(file, 1, device)
        except PackError:
            raise
        except Exception as error:  # ONNX Runtime's own errors have no public base class
            raise PackError(f"{path.name} {_remedy(error)} ({error})") from error
        self._runs, self._lock = 0, Lock()
        source = self._alone.get_inputs()[0]
        self._input, self.input_shape = source.name, _shape(source)
        self.runs_batches = model is not None
        self._most_numbers = _MOST_NUMBERS[device.kind]
        self._fills = device.kind == "cuda" and self.runs_batches
        self.batch_sizes = tuple(buckets(_LARGEST_RUN)) if self._fills else (1,)
        self._bound = BoundRuns(self._alone, "cuda") if device.kind == "cuda" else None
        self.output_shapes = [_shape(output) for output in self._alone.get_outputs()]

    def most_items(self, numbers: int) -> int:
        """Return how many items of so many numbers each go through the model in one run."""
        return max(1, min(_LARGEST_RUN, self._most_numbers // numbers)) if self.runs_batches else 1

    def run(self, batch: Floats) -> list[Floats]:
        """Return the outputs for a batch, which has at least one item. Raises Overloaded without memory.

        Where neither the file nor a rewrite of it takes a batch, the items run one by one and their
        outputs are joined.
        """
        size = self.most_items(batch[0].size)
        parts = [batch[start : start + size] for start in range(0, len(batch), size)]
        with self._claimed() as run, _memory_is_short():
            each = [unfilled(run(filled(part)), len(part)) if self._fills else run(part) for part in parts]
        return each[0] if len(each) == 1 else [np.concatenate(outputs) for outputs in zip(*each, strict=True)]

    @contextmanager
    def _claimed(self) -> Iterator[Callable[[Floats], list[Floats]]]:
        with self._lock:
            session = self._among_others if self._runs else self._alone
            self._runs += 1
        try:
            yield self._bound.run if self._bound else lambda batch: session.run(None, {self._input: batch})
        finally:
            with self._lock:
                self._runs -= 1


class BoundRuns:
    """Runs a session on buffers of its device, one for each size of batch, one run at a time."""

    def __init__(self, session: onnxruntime.InferenceSession, device: str) -> None:
        """Bind the session's only input and its outputs on "cuda" or "cpu"."""
        self._session, self._device = session, device
        self._input = session.get_inputs()[0].name
        self._outputs = [output.name for output in session.get_outputs()]
        self._binding = session.io_binding()
        self._buffers: dict[int, Any] = {}
        self._lock = Lock()

    def run(self, batch: Floats) -> list[Floats]:
        """Return the outputs, which stay on the device until all are there."""
        with self._lock:
            self._binding.bind_ortvalue_input(self._input, self._buffer(np.ascontiguousarray(batch)))
            for name in self._outputs:  # bound anew: their shapes may differ from the last run's
                self._binding.bind_output(name, self._device)
            self._session.run_with_iobinding(self._binding)
            return list(self._binding.copy_outputs_to_cpu())

    def _buffer(self, batch: Floats) -> Any:
        buffer = self._buffers.get(len(batch))
        if buffer is not None and buffer.shape() == list(batch.shape):
            buffer.update_inplace(batch)
        else:
            # A copy, for on a CPU the buffer would be the caller's own array.
            buffer = onnxruntime.OrtValue.ortvalue_from_numpy(batch.copy(), self._device)
            self._buffers[len(batch)] = buffer
        return buffer


@contextmanager
def _memory_is_short() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if _has(error, _OUT_OF_MEMORY):
            raise Overloaded("there is no memory left to run a model; retry after a moment") from error
        raise


def _remedy(error: Exception) -> str:
    if _has(error, _OUT_OF_MEMORY):
        return "does not fit into the device's memory; free some, or choose another device or a smaller pack"
    if _has(error, _LACKING):
        return (
            f"needs an operator or opset that ONNX Runtime {onnxruntime.__version__} lacks; install a newer "
            "one, or export the model with an older opset"
        )
    return "does not load as an ONNX model; copy or build the file again"


def _has(error: Exception, words: tuple[str, ...]) -> bool:
    return any(word in str(error) for word in words)


def _shape(value: onnxruntime.NodeArg) -> tuple[int | None, ...]:
    return tuple(axis if isinstance(axis, int) else None for axis in value.shape)


def _inference(source: Path | bytes, threads: int, device: Device) -> onnxruntime.InferenceSession:
    # Without the fallback a device that is full is an error, not a silent change to another device.
    return onnxruntime.InferenceSession(
        source, _options(threads), providers=device.providers, enable_fallback=0
    )


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin while they wait cost more than they save as soon as another call wants the core.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _ERRORS_ONLY
    return options
