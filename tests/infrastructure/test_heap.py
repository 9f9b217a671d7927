"""Memory that one array has freed is there for the next."""

import ctypes
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import numpy as np
from infrastructure.heap import keep_freed_memory
if {kept}:
    keep_freed_memory()
for _ in range(3):
    [np.ones(600_000) for _ in range(4)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    [np.ones(600_000) for _ in range(4)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*, kept: bool) -> int:
    """Pages that the system had to give for a hundred times four arrays."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(kept=kept)], capture_output=True, text=True, check=True, timeout=60
    )
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_large_arrays_are_made_of_what_was_freed() -> None:
    assert faults(kept=True) * 4 < faults(kept=False)
