"""How the C library keeps memory that is freed, for work on arrays."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's parameters (``malloc.h``)."""
_KEPT = 128 << 20
"""Bytes that stay with the process once they are freed."""
_MAPPED = 8 << 20
"""Arrays of so many bytes and more are mapped, and given back, one by one."""


def keep_freed_memory() -> None:
    """Let arrays of a step use the memory of those of the last step.

    By itself glibc gives back what is freed and asks for it anew, a page at a time: on 12 hosts of ``data`` a quarter
    of the CPU went to that, in 460,000 page faults where 29,000 do. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _MAPPED)
        mallopt(_TRIM_THRESHOLD, _KEPT)
