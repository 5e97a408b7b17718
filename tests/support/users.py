"""Root may read everything: what tests of permissions step down with."""

import ctypes
import os
import sys

import pytest

_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2


class as_another_user:  # noqa: N801 - reads as what it does
    """Step down while the context lasts, if this is root."""

    def __enter__(self) -> None:
        if os.geteuid() == 0:
            os.seteuid(65_534)

    def __exit__(self, *exception: object) -> None:
        if os.getuid() == 0:
            os.seteuid(0)


def heed_permissions() -> None:
    """Let permissions bind the child also where it is root, on Linux; for `preexec_fn`."""
    if os.geteuid() == 0:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
            if prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                raise OSError(ctypes.get_errno(), "root's right to read everything cannot be dropped")


needs_permissions = pytest.mark.skipif(
    sys.platform != "linux" and getattr(os, "geteuid", lambda: 0)() == 0,
    reason="only on Linux can root's child be bound by permissions",
)
