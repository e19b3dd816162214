"""One worker, as its parent sees it."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Final, Self, TypeVar

from voiceflow_inference.workers.orders import SAYINGS, SERVE, Assignment, Failed, Loaded, Ready

Said = TypeVar("Said", Loaded, Ready)


class WorkerEnded(Exception):
    """A worker has ended before it served.

    Attributes:
        worker: Which.
        code: As the system has it: below zero, a signal.
        why: What it said of that; None: nothing.
    """

    def __init__(self, worker: Worker, code: int, why: str | None) -> None:
        super().__init__(f"{worker} has ended with {ending(code)}")
        self.worker = worker
        self.code = code
        self.why = why


class Worker:
    """A process that was started.

    Args:
        number: Which of the workers it is.
        process: It.
    """

    def __init__(self, number: int, process: Process) -> None:
        self.number = number
        self._process = process

    def __str__(self) -> str:
        return f"worker {self.number} (process {self._process.pid})"

    @classmethod
    async def start(cls, assignment: Assignment) -> Self:
        """Starts one, with what it is to be."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _CHILD),
            stdin=PIPE,
            stdout=PIPE,
            process_group=0,  # Ctrl-C is for the parent
        )
        worker = cls(assignment.number, process)
        worker._tell(assignment.line())
        return worker

    async def loaded(self) -> None:
        """Waits until it is warm.

        Raises:
            WorkerEnded: It never is.
        """
        await self._said(Loaded)

    async def serves(self) -> Ready:
        """Has it answer, and waits until it does.

        Raises:
            WorkerEnded: It never does.
        """
        self._tell(SERVE)
        return await self._said(Ready)

    def end(self) -> None:
        """Has it drain, or give up loading; again: nothing."""
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        self._process.stdin.close()

    def kill(self) -> None:
        """Ends it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> int:
        """Waits for its end; its exit code, or below zero a signal."""
        return await self._process.wait()

    def _tell(self, line: bytes) -> None:
        """What it does not read any more it tells by its end."""
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        self._process.stdin.write(line)

    async def _said(self, kind: type[Said]) -> Said:
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        line = await self._process.stdout.readline()
        saying = SAYINGS.validate_json(line) if line.endswith(b"\n") else None
        if isinstance(saying, kind):
            return saying
        why = saying.why if isinstance(saying, Failed) else None
        raise WorkerEnded(self, await self.ended(), why)


def ending(code: int) -> str:
    """How a process has ended, for people."""
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


_CHILD: Final = "voiceflow_inference.workers.child"
