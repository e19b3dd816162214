"""Landlock with no exception: every access that the kernel can refuse, it refuses.

See Linux `Documentation/userspace-api/landlock.rst`; the numbers are those of
`include/uapi/linux/landlock.h` and are the same on every architecture.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

_CREATE_RULESET: Final = 444
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1 << 0

_FILE_RIGHTS: Final = ((5, 16), (3, 15), (2, 14), (1, 13))
"""From which ABI on how many of the rights to files are known; each newer one adds a bit."""
_NET_RIGHTS: Final = 0b11
"""Bind and connect TCP, from ABI 4 on."""
_SCOPES: Final = 0b11
"""Abstract Unix sockets and signals stay inside, from ABI 6 on."""


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


def abi() -> int:
    """Version of the kernel's interface; 0 where there is none."""
    return max(0, _call(_CREATE_RULESET, None, 0, _VERSION))


def restrict() -> None:
    """Shuts the calling thread, which must have set no_new_privs or be root, off from everything.

    Raises:
        OSError: If the kernel does not have Landlock, or refuses.
    """
    version = abi()
    if not version:
        raise OSError(ctypes.get_errno(), "the kernel has no Landlock, or it is turned off")
    rules = _Ruleset(
        (1 << next(bits for since, bits in _FILE_RIGHTS if version >= since)) - 1,
        _NET_RIGHTS if version >= 4 else 0,
        _SCOPES if version >= 6 else 0,
    )
    # An older kernel refuses a structure that ends in fields that it does not know.
    size = 8 * (1 + (version >= 4) + (version >= 6))
    ruleset = _call(_CREATE_RULESET, ctypes.byref(rules), size, 0)
    if ruleset < 0:
        raise _error("a ruleset could not be made")
    try:
        if _call(_RESTRICT_SELF, ctypes.c_long(ruleset), 0) < 0:
            raise _error("the ruleset was refused")
    finally:
        os.close(ruleset)


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return int(libc.syscall(ctypes.c_long(number), *map(_word, arguments)))


def _word(argument: object) -> object:
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
