"""A server that consists of several processes: started, waited for, accounted for, and ended."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

_START_SECONDS = 300.0
_STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ProcessTree:
    """A process and all that come from it.

    Attributes:
        root: Its id.
    """

    root: int

    @classmethod
    def own(cls) -> Self:
        """This process, with its children."""
        return cls(os.getpid())

    def processes(self) -> list[psutil.Process]:
        """Those that live now."""
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.root)
            return [root, *root.children(recursive=True)]
        return []

    def cpu_seconds(self) -> float:
        """Processor time that they have used so far."""
        total = 0.0
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def resident_bytes(self) -> int:
        """Memory that they hold; on Linux a page that several share is counted once."""
        total = 0
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                memory = process.memory_full_info()
                total += int(getattr(memory, "pss", memory.rss))
        return total


@contextlib.contextmanager
def running_server(
    command: Sequence[str], environment: Mapping[str, str], ready_url: str
) -> Iterator[ProcessTree]:
    """Starts a server, waits until it answers, and ends it and all of its processes.

    Args:
        command: What to run.
        environment: Added to ours.
        ready_url: Answers 200 once the server takes calls.

    Raises:
        RuntimeError: It ends, or does not get ready; its log is in the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "server.log"
        with (
            log.open("wb") as output,
            subprocess.Popen(  # noqa: S603
                command, stdout=output, stderr=output, env=os.environ | environment
            ) as process,
        ):
            tree = ProcessTree(process.pid)
            started = []
            try:
                _wait(process, ready_url, log)
                started = tree.processes()
                yield tree
            finally:
                _end([*tree.processes(), *started])


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError),
            urllib.request.urlopen(url, timeout=5) as answer,  # noqa: S310 loopback
        ):
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"the server does not start:\n{log.read_text(errors='replace')[-4000:]}")


def _end(processes: Sequence[psutil.Process]) -> None:
    """Asks the first to end, which ends the others; whatever is left then is killed."""
    if processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            processes[0].terminate()
    _, left = psutil.wait_procs(processes, timeout=_STOP_SECONDS)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
