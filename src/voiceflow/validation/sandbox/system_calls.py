"""The system calls that a model may make, as a seccomp filter.

What is not named fails with EPERM, since libraries try things that they can do without. What no
library of a probe tries and an attacker would ends the process, so that it is seen.
"""

from __future__ import annotations

import errno
import mmap
import os
import signal
from typing import Final

try:
    # Finds the system's library when imported, and raises where there is none.
    import pyseccomp as seccomp
except (ImportError, RuntimeError) as error:
    _why_missing = f"pyseccomp or libseccomp is not installed: {error}"
else:
    _why_missing = ""

_MEMORY = ("brk", "madvise", "mincore", "mremap", "munmap")
_FILES_THAT_ARE_OPEN = ("close", "fstat", "lseek", "pread64", "read", "readv", "write", "writev")
_CLOCKS = (
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "gettimeofday",
    "nanosleep",
    "time",
    "times",
)
_ITSELF = (
    "exit",
    "exit_group",
    "futex",
    "getcpu",
    "getpid",
    "getrandom",
    "getrusage",
    "gettid",
    "membarrier",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "sigaltstack",
    "sysinfo",
    "uname",
)
ALLOWED: Final = (*_MEMORY, *_FILES_THAT_ARE_OPEN, *_CLOCKS, *_ITSELF)
"""Allowed whatever their arguments; see `install` for those that are looked at."""

DEADLY: Final = (
    "accept",
    "accept4",
    "bind",
    "bpf",
    "clone",
    "clone3",
    "connect",
    "execve",
    "execveat",
    "fork",
    "init_module",
    "io_uring_setup",
    "kexec_load",
    "kill",
    "listen",
    "mount",
    "open_by_handle_at",
    "perf_event_open",
    "pidfd_getfd",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "sendmsg",
    "setns",
    "socket",
    "socketpair",
    "unshare",
    "userfaultfd",
    "vfork",
)
"""End the process."""

_AT_EMPTY_PATH: Final = 0x1000


def install() -> None:
    """Filters the system calls of this process from now on.

    Raises:
        OSError: If pyseccomp or libseccomp is not installed, or the kernel refuses.
    """
    if _why_missing:
        raise OSError(_why_missing)
    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    rules.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.KILL_PROCESS)
    rules.set_attr(seccomp.Attr.CTL_TSYNC, 1)

    def add(action: int, name: str, *conditions: object) -> None:
        # Each architecture lacks a few of the older calls.
        number = seccomp.resolve_syscall(seccomp.Arch.NATIVE, name)
        if number >= 0:
            rules.add_rule(action, number, *conditions)

    for name in ALLOWED:
        add(seccomp.ALLOW, name)
    for name in DEADLY:
        add(seccomp.KILL_PROCESS, name)
    # Memory, but none that can be run as code.
    for name in ("mmap", "mprotect"):
        add(seccomp.ALLOW, name, seccomp.Arg(2, seccomp.MASKED_EQ, mmap.PROT_EXEC, 0))
    # `fstat`, as newer C libraries call it; the name of a file is another matter.
    add(
        seccomp.ALLOW,
        "newfstatat",
        seccomp.Arg(3, seccomp.MASKED_EQ, _AT_EMPTY_PATH, _AT_EMPTY_PATH),
    )
    # Limits may be read, not set.
    add(seccomp.ALLOW, "prlimit64", seccomp.Arg(2, seccomp.EQ, 0))
    # `abort`, and no other signal to anybody.
    add(
        seccomp.ALLOW,
        "tgkill",
        seccomp.Arg(0, seccomp.EQ, os.getpid()),
        seccomp.Arg(2, seccomp.EQ, signal.SIGABRT),
    )
    rules.load()
