"""Starts and ends the processes of models; runs by itself, on the standard library alone.

The registry starts it once, before its own threads. It has one thread for two reasons: a process
started by a thread of the registry would be killed with that thread (`PR_SET_PDEATHSIG` means the
thread), and nothing is ever forked from a process that runs gRPC.

The registry sends one byte per model over the control socket (standard input), with three
descriptors: the model's standard input, its standard error, and a socket that stays here as its
life line. On it the helper writes `started <pid>` and, when the process is gone and reaped, `ended
<status> <cpu seconds>`. The registry closes or writes to it to have the process killed. Where the
registry itself ends, however it ends, the control socket closes, and everything ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import socket
import subprocess
import sys
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


class _Child:
    """One running process and its life line."""

    def __init__(self, process: subprocess.Popen[bytes], life: socket.socket) -> None:
        self.process = process
        self.life = life


class Helper:
    """The loop.

    Args:
        control: Brings a pair of sockets for each model.
        command: What runs a model.
    """

    def __init__(self, control: socket.socket, command: list[str]) -> None:
        self._control = control
        self._command = command
        self._children: dict[int, _Child] = {}
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Serves until the registry is gone; leaves no process."""
        wakeup, wake = socket.socketpair()
        os.set_blocking(wake.fileno(), False)
        os.set_blocking(wakeup.fileno(), False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(wakeup, selectors.EVENT_READ)
        try:
            while True:
                for key, _ in self._selector.select():
                    if key.fileobj is self._control:
                        if not self._start():
                            return
                    elif key.fileobj is wakeup:
                        with contextlib.suppress(BlockingIOError):
                            wakeup.recv(4096)
                    else:
                        self._kill(key.data)
                self._reap()
        finally:
            for child in self._children.values():
                _kill_group(child.process.pid)
            for child in self._children.values():
                child.process.wait()
            _end_adopted(set())

    def _start(self) -> bool:
        order, descriptors, _, _ = socket.recv_fds(self._control, 1, 3)
        if not order:
            return False
        if len(descriptors) != 3:  # no room for more descriptors here
            for descriptor in descriptors:
                os.close(descriptor)
            return True
        talk, errors, life_descriptor = descriptors
        life = socket.socket(fileno=life_descriptor)
        try:
            process = subprocess.Popen(  # noqa: S603 - the command is the registry's own
                self._command,
                stdin=talk,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        except OSError as error:
            _tell(life, f"refused {error.strerror}")
            life.close()
            return True
        finally:
            os.close(talk)
            os.close(errors)
        self._children[process.pid] = _Child(process, life)
        self._selector.register(life, selectors.EVENT_READ, process.pid)
        _tell(life, f"started {process.pid}")
        return True

    def _kill(self, pid: int) -> None:
        """The registry wants no more of it; its end is told when it is reaped."""
        if pid in self._children:
            self._selector.unregister(self._children[pid].life)
            _kill_group(pid)

    def _reap(self) -> None:
        for pid in list(self._children):
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if not ended:
                continue
            _kill_group(pid)
            child = self._children.pop(pid)
            child.process.returncode = os.waitstatus_to_exitcode(status)
            with contextlib.suppress(KeyError):
                self._selector.unregister(child.life)
            _end_adopted(set(self._children))
            _tell(
                child.life,
                f"ended {child.process.returncode} {usage.ru_utime + usage.ru_stime:.3f}",
            )
            child.life.close()


def main() -> None:
    """Runs the helper with the command given as arguments."""
    if sys.platform == "linux":
        # What a model's process leaves behind becomes a child of this one, and is found.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    Helper(socket.socket(fileno=0), sys.argv[1:]).run()


def _tell(life: socket.socket, words: str) -> None:
    with contextlib.suppress(OSError):  # the registry no longer listens
        life.sendall(words.encode() + b"\n")


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _end_adopted(own: set[int]) -> None:
    """Ends what left its group, lost its parent and so came here."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while True:
        try:
            found = {int(pid) for pid in children.read_text("ascii").split()} - own
        except OSError:
            return  # not Linux
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
