"""What a load takes of this machine: processor time and memory of a server here, and of others."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import psutil

from voiceflow.bench.figures import Usage
from voiceflow.client.targets import stays_on_this_machine


@dataclass(frozen=True, slots=True)
class Processors:
    """Processor seconds since the machine started: spent by whom, and how many there were."""

    own: float
    busy: float
    all: float

    @classmethod
    def now(cls, own: Iterable[int]) -> Self:
        """Up to this moment.

        Args:
            own: Ids of the processes that take part.
        """
        machine = psutil.cpu_times()
        whole = sum(machine)
        idle = machine.idle + getattr(machine, "iowait", 0.0)
        return cls(cpu_seconds(own), whole - idle, whole)

    def others_percent(self, before: Self) -> float:
        """Share of the machine that went to processes that do not take part."""
        others = (self.busy - before.busy) - (self.own - before.own)
        return round(100 * max(0.0, others / max(1e-9, self.all - before.all)), 1)


class Meter:
    """Measures one load, from when it is made to `end`.

    Args:
        server: Ids of the server's processes; none: it is not on this machine.
    """

    def __init__(self, server: Iterable[int]) -> None:
        self._server = tuple(server)
        self._taking_part = (*self._server, os.getpid())
        self._resident_before = self._resident = resident_bytes(self._server)
        self.start()

    def start(self) -> None:
        """Counts processor time from now on; memory is still compared with what was before."""
        self._processors = Processors.now(self._taking_part)
        self._server_before = cpu_seconds(self._server)
        self._client_before = time.process_time()
        self._start = time.monotonic()

    def look(self) -> None:
        """Looks at the server's memory."""
        self._resident = max(self._resident, resident_bytes(self._server))

    def end(self) -> Usage:
        """What the load has taken."""
        self.look()
        others = Processors.now(self._taking_part).others_percent(self._processors)
        usage = (
            max(1e-9, time.monotonic() - self._start),
            os.cpu_count() or 1,
            time.process_time() - self._client_before,
            others,
        )
        if not self._server:
            return Usage(*usage)
        grown = self._resident - self._resident_before
        spent = cpu_seconds(self._server) - self._server_before
        return Usage(*usage, spent, self._resident, grown)


def processes_at(target: str) -> tuple[int, ...]:
    """The processes of this machine that listen at a target, and their children.

    Those of other users are seen as far as the system lets one look; what listens in front of a
    server, such as a proxy, is taken for it.

    Args:
        target: `host:port`, or any target that gRPC knows.
    """
    port = target.rpartition(":")[2]
    if not stays_on_this_machine(target) or not port.isdigit():
        return ()
    found: set[int] = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and _listens(process, int(port)):
                found |= {process.pid, *(child.pid for child in process.children(recursive=True))}
    return tuple(sorted(found))


def cpu_seconds(processes: Iterable[int]) -> float:
    """Processor time that they have used so far, all threads."""

    def used(process: psutil.Process) -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    return sum(_each(processes, used))


def resident_bytes(processes: Iterable[int]) -> int:
    """Memory that they hold now; what they share is counted for each."""
    return int(sum(_each(processes, lambda process: float(process.memory_info().rss))))


def allow_connections() -> None:
    """Raises the limit on open files of this process, and its children, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # macOS has no endless ones
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _listens(process: psutil.Process, port: int) -> bool:
    return any(
        one.status == psutil.CONN_LISTEN and one.laddr.port == port
        for one in process.net_connections("tcp")
    )


def _each(processes: Iterable[int], read: Callable[[psutil.Process], float]) -> Iterator[float]:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            yield read(psutil.Process(process))
