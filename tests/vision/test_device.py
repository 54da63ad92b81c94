"""The device is what was asked for or the best there is; what cannot be had is said at the start."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from facegrid.domain.errors import ConfigurationError
from facegrid.vision.device import CPU, Device, choose_device, usable_cores

WITH_CUDA = ("CUDAExecutionProvider", "CPUExecutionProvider")
WITHOUT = ("CPUExecutionProvider",)


def choose(wanted: str, available: Sequence[str], *, works: bool) -> Device:
    """Choose on a machine whose sessions get CUDA, or do not."""
    return choose_device(wanted, available=available, session_gets_cuda=lambda: works)


@pytest.mark.parametrize(
    ("wanted", "available", "works", "kind"),
    [
        ("auto", WITH_CUDA, True, "cuda"),
        ("auto", WITH_CUDA, False, "cpu"),
        ("auto", WITHOUT, True, "cpu"),
        ("cuda", WITH_CUDA, True, "cuda"),
        ("cpu", WITH_CUDA, True, "cpu"),
    ],
)
def test_choice(wanted: str, available: Sequence[str], works: bool, kind: str) -> None:
    """CUDA is taken where it is wanted or possible, and only where a session really gets it."""
    assert choose(wanted, available, works=works).kind == kind


@pytest.mark.parametrize(
    ("available", "remedy"),
    [(WITHOUT, r"pip install 'facegrid\[gpu\]'"), (WITH_CUDA, r"driver.*onnxruntime-gpu\[cuda,cudnn\]")],
)
def test_cuda_that_is_not_there(available: Sequence[str], remedy: str) -> None:
    """The error says what to install: another ONNX Runtime, or what that one lacks."""
    with pytest.raises(ConfigurationError, match=f"^device is cuda.*{remedy}.*or set device to cpu"):
        choose("cuda", available, works=False)


def test_this_machine() -> None:
    """ONNX Runtime itself is asked where nothing is given; a CPU never calculates with 16 bits."""
    assert choose_device("cpu", half_precision=True) == CPU
    assert choose_device("auto").kind in {"cpu", "cuda"}


@pytest.mark.parametrize(("half_precision", "tf32"), [(False, "0"), (True, "1")])
def test_cuda_options(half_precision: bool, tf32: str) -> None:
    """CUDA comes first, with full 32 bits unless 16 are allowed, and the CPU for what it lacks."""
    (name, options), fallback = Device("cuda", half_precision).providers
    assert (name, fallback) == WITH_CUDA
    assert options == {
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "do_copy_in_default_stream": "1",
        "use_tf32": tf32,
    }
    assert CPU.providers == list(WITHOUT)


def test_memory_of_the_device() -> None:
    """Each session takes a bounded part of the device's memory where that is asked for."""
    limited = choose_device("cuda", memory_mib=512, available=WITH_CUDA, session_gets_cuda=lambda: True)
    (_, options), _ = limited.providers
    assert options["gpu_mem_limit"] == str(512 * 1024 * 1024)


@pytest.mark.parametrize(("quota", "cores"), [("50000 100000", 1), ("max 100000", None), ("", None)])
def test_cores_of_a_container(tmp_path: Path, quota: str, cores: int | None) -> None:
    """A container's quota counts where it has one, else the cores that the process may use."""
    (tmp_path / "cpu.max").write_text(quota)
    assert usable_cores(tmp_path / "cpu.max") == (cores or len(os.sched_getaffinity(0)))
    assert usable_cores(tmp_path / "missing") == len(os.sched_getaffinity(0))
