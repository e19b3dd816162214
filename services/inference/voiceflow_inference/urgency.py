"""Classes of hops."""

from __future__ import annotations

from enum import IntEnum


class Urgency(IntEnum):
    """Classes of hops; a lower one runs only while no higher one waits."""

    LIVE = 0
    BACKGROUND = 1
    SHADOW = 2
