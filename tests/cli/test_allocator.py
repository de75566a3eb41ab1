"""Memory that arrays leave stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from placer.cli.allocator import keep_freed_memory

ARRAYS = """
import resource, sys, threading
import numpy as np
from placer.cli.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def work():
    for _ in range(100):
        [np.ones(12_000) for _ in range(60)]
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", ARRAYS, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the parameters are those of glibc")
def test_arrays_use_the_memory_of_those_before() -> None:
    """Page faults do not grow with the steps."""
    assert 5 * _faults("kept") < _faults("as it is")


def test_other_libraries_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A C library without glibc's function is no error."""
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    keep_freed_memory()
