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
_NET_RIGHTS: Final = (4, 0b11)
"""From which ABI on binding and connecting TCP is known."""
_SCOPES: Final = (6, 0b11)
"""From which ABI on abstract Unix sockets and signals can be kept inside."""


def abi() -> int:
    """Version of the kernel's interface; 0 where there is none."""
    return max(0, _call(_CREATE_RULESET, None, 0, _VERSION))


def everything(version: int) -> tuple[int, ...]:
    """All that a version can refuse, as the fields of `struct landlock_ruleset_attr`.

    Only those fields that the version has: an older kernel refuses a structure that goes on.
    """
    files = next(bits for since, bits in _FILE_RIGHTS if version >= since)
    newer = (rights for since, rights in (_NET_RIGHTS, _SCOPES) if version >= since)
    return (1 << files) - 1, *newer


def restrict() -> None:
    """Shuts the calling thread, which must have set no_new_privs or be root, off from everything.

    Raises:
        OSError: If the kernel does not have Landlock, or refuses.
    """
    version = abi()
    if not version:
        raise OSError(ctypes.get_errno(), "the kernel has no Landlock, or it is turned off")
    refused = everything(version)
    rules = (ctypes.c_uint64 * len(refused))(*refused)
    ruleset = _call(_CREATE_RULESET, ctypes.byref(rules), ctypes.sizeof(rules), 0)
    if ruleset < 0:
        raise _error("a ruleset could not be made")
    try:
        if _call(_RESTRICT_SELF, ruleset, 0) < 0:
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
