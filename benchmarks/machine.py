"""Who has used the machine meanwhile: a run under strangers' load measures that load."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import psutil


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
        return cls(sum(map(_seconds, own)), whole - idle, whole)

    def others_percent(self, before: Self) -> float:
        """Share of the machine that went to processes that do not take part."""
        others = (self.busy - before.busy) - (self.own - before.own)
        return round(100 * max(0.0, others / max(1e-9, self.all - before.all)), 1)


def _seconds(process: int) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        times = psutil.Process(process).cpu_times()
        return float(times.user + times.system)
    return 0.0
