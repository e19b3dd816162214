"""Locks the calling process down, layer by layer, and tries each: only what held is reported.

Runs once, in a process with one thread that has imported everything. There is no way back.
"""

from __future__ import annotations

import ctypes
import errno
import math
import mmap
import os
import resource
import signal
import sys
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from voiceflow.validation.sandbox import landlock, system_calls
from voiceflow.validation.sandbox.limits import Layer, Limits

_PR_SET_PDEATHSIG: Final = 1
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_GET_NO_NEW_PRIVS: Final = 39
_CAPABILITY_VERSION_3: Final = 0x20080522


class NotHere(Exception):
    """A layer that this machine does not have, or that did not hold when tried."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the lockdown achieved.

    Attributes:
        active: Layers that were put on and held when tried.
        missing: The others, each with the reason.
    """

    active: tuple[Layer, ...]
    missing: dict[Layer, str]


def die_with_parent() -> None:
    """Has the kernel end this process with the one that started it, where it can."""
    if sys.platform == "linux":
        parent = os.getppid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended while we were asking
            os._exit(1)


def lock_down(limits: Limits, wanted: AbstractSet[Layer]) -> Report:
    """Puts on every layer that is wanted and that the machine has.

    Args:
        limits: CPU is counted from now on.
        wanted: Layers to put on.
    """
    missing = {layer: "not wanted here" for layer in Layer if layer not in wanted}

    def put_on(layer: Layer, step: Callable[[], None]) -> None:
        if layer not in missing:
            try:
                step()
            except (NotHere, OSError, ValueError) as error:
                missing[layer] = str(error)

    put_on(Layer.RLIMITS, lambda: _limit_resources(limits))
    put_on(Layer.NO_NEW_PRIVS, _give_up_rights)
    put_on(Layer.LANDLOCK, _shut_files_and_net)
    # Not sooner: Landlock's rules are a descriptor while they are made.
    put_on(Layer.RLIMITS, _no_new_descriptors)
    put_on(Layer.SECCOMP, _filter_calls)
    return Report(tuple(layer for layer in Layer if layer not in missing), missing)


def _limit_resources(limits: Limits) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = math.ceil(usage.ru_utime + usage.ru_stime + limits.cpu_seconds)
    # SIGXCPU at the first; a process that ignores it is killed at the second.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        resource.setrlimit(kind, (0, 0))
    address_space = limits.address_space_bytes
    resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    try:
        # Without access, so that nothing but the limit has a reason to refuse it.
        mmap.mmap(-1, address_space, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0).close()
    except (OSError, MemoryError):
        return
    raise NotHere("the limit of the address space does not hold on this system")


def _no_new_descriptors() -> None:
    """Those that are open stay usable; no file and no socket can be added."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    try:
        os.close(os.dup(0))
    except OSError:
        return
    raise NotHere("the limit of open files does not hold on this system")


def _give_up_rights() -> None:
    _linux_only()
    for capability in range(64):
        # Fails where there is no such capability, and where there is no right to drop any.
        _prctl(_PR_CAPBSET_DROP, capability)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    if _libc().capset(header, none) != 0:
        raise NotHere(f"capabilities cannot be given up: {os.strerror(ctypes.get_errno())}")
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if _prctl(_PR_GET_NO_NEW_PRIVS) != 1:
        raise NotHere("this kernel knows no no_new_privs")


def _shut_files_and_net() -> None:
    _linux_only()
    threads = sum(1 for _ in Path("/proc/self/task").iterdir())
    if threads != 1:
        raise NotHere(f"{threads} threads run, and Landlock would hold one of them")
    landlock.restrict()
    _refused(errno.EACCES, "Landlock")


def _filter_calls() -> None:
    _linux_only()
    system_calls.install()
    _refused(errno.EPERM, "seccomp")


def _refused(number: int, layer: str) -> None:
    """Tries what the layer forbids; each layer refuses with its own error number."""
    try:
        os.close(os.open("/", os.O_RDONLY))
    except OSError as error:
        if error.errno == number:
            return
        raise NotHere(f"{layer} was put on, but what refuses files is another: {error}") from error
    raise NotHere(f"{layer} was put on, but a file could be opened")


def _linux_only() -> None:
    if sys.platform != "linux":
        raise NotHere(f"{sys.platform} has no such thing")


def _prctl(option: int, *arguments: int) -> int:
    padded = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    return int(_libc().prctl(option, *padded))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
