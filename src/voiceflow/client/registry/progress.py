"""How far a transfer is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """What is being done."""

    SENDING = "sending"
    RECEIVING = "receiving"
    CHECKING = "checking"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer is.

    Attributes:
        stage: What is being done; `WAITING`: the connection was lost and is tried again soon.
        done_bytes: That the other side has, or this one; less than before if some were lost.
        total_bytes: Of all files.
    """

    stage: Stage
    done_bytes: int
    total_bytes: int


OnProgress = Callable[[Progress], None]


def unwatched(_progress: Progress) -> None:
    """Nobody looks."""
