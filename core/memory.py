"""Memory that was freed, and that the C library keeps."""

import contextlib
import ctypes
import gc


def return_memory() -> None:
    """Hand freed memory back to the system, where the C library is one that would keep it (glibc)."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no such function, or no such library
        ctypes.CDLL(None).malloc_trim(0)
