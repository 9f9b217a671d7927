"""The memory of a process that makes large arrays one after the other."""

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Parameters of mallopt(3)."""
_MIB = 2**20


def keep_freed_memory() -> None:
    """Let the C library keep what is freed for the next array, where it can be told to: glibc, by mallopt(3).

    A column of a year of minutes is 4 MB. Given back to the system and asked for again, its pages took three times as long
    as the arithmetic on them, and now and then a tenth of a second.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_MMAP_THRESHOLD, 32 * _MIB)  # the most that it takes
    mallopt(_TRIM_THRESHOLD, 256 * _MIB)
    mallopt(_TOP_PAD, 16 * _MIB)
