"""A process gives back what it no longer needs."""

import platform
import subprocess
import sys

import pytest

_KEPT = """
import re
from pathlib import Path
import numpy as np
from facegrid.serving.memory import return_freed_memory

def resident_mib():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

{call}
before = resident_mib()
np.ones(20 << 20, np.uint8)  # glibc learns from it to keep smaller ones
large = np.ones(12 << 20, np.uint8)
small = [bytes(1000) for _ in range(1000)]
del large
print(resident_mib() - before)
"""


def kept_mib(call: str) -> float:
    """Return what a new process still holds after it let go of a large block."""
    ended = subprocess.run(
        [sys.executable, "-c", _KEPT.format(call=call)], capture_output=True, text=True, check=True
    )
    return float(ended.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc learns to keep large blocks")
def test_large_blocks_are_given_back() -> None:
    """A block of 12 MiB goes back when it is freed; glibc by itself would keep it."""
    assert kept_mib("return_freed_memory(2)") < 6
    assert kept_mib("") > 10
