"""Which settings each worker of a group has: its own name, ports and memory. Pure.

All else is as the group's. So every limit, as that of streams, holds for each worker.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from voiceflow_inference.settings import Settings, worker_name


def settings_of(
    group: Settings, number: int, *, port: int, health_port: int | None = None
) -> Settings:
    """Those of one worker.

    Args:
        group: Those of all.
        number: Of the worker, from 0.
        port: That all listen on.
        health_port: Likewise; None: there is none.
    """
    return group.model_copy(
        update={
            "pod_name": worker_name(group.pod_name, number),
            "port": port,
            "health_port": health_port,
            "metrics_port": _after(group.metrics_port, number),
            "state_dir": state_dir(group.state_dir, number),
        }
    )


def state_dir(group: Path, number: int) -> Path:
    """What a worker remembers over a restart; that of the first is also that of a process alone."""
    return group if number == 0 else group / _WORKERS / str(number)


def _after(port: int | None, number: int) -> int | None:
    """A free port is free for each."""
    return port + number if port else port


_WORKERS: Final = "workers"
