"""Runs a module in a process that the kernel ends the moment it turns to another machine.

    python -m tests.fakes.isolated MODULE [ARGUMENT …]

Listening, accepting and answering are allowed; `connect`, and sending a datagram to an address, end
the process with SIGSYS, whichever library tries it. Only sockets in the file system may be
connected to: the C library asks a name service there for the user's home.
"""

from __future__ import annotations

import runpy
import sys
from typing import Final

import pyseccomp as seccomp

_ADDRESS_BYTES: Final = 2
"""Index of the address's length among the arguments of `connect`."""

_UNIX_ADDRESS_BYTES: Final = 110
"""Of an address in the file system, `struct sockaddr_un`."""

_DESTINATION: Final = 4
"""Index of the address among the arguments of `sendto`; none where the socket is connected."""


def main() -> None:
    """Closes the way out for good, and becomes the module."""
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    rules.add_rule(
        seccomp.KILL_PROCESS,
        "connect",
        seccomp.Arg(_ADDRESS_BYTES, seccomp.NE, _UNIX_ADDRESS_BYTES),
    )
    rules.add_rule(seccomp.KILL_PROCESS, "sendto", seccomp.Arg(_DESTINATION, seccomp.NE, 0))
    rules.load()
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
