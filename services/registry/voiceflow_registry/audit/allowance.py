"""How many refusals of one caller are recorded, so that nobody fills the store by asking."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

BURST: Final = 20
"""Refusals of one principal that are recorded at once; mistakes and a look around make fewer."""
PER_SECOND: Final = 0.1
"""How fast that fills again: at most some 8,600 entries a day of one principal."""

_PRINCIPALS: Final = 10_000


class Allowance:
    """A bucket of tokens for each principal; safe to use from many threads.

    Args:
        clock: Monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, principal: str) -> bool:
        """Whether one more may be recorded."""
        now = self._clock()
        with self._lock:
            tokens, since = self._held.pop(principal, (float(BURST), now))
            tokens = min(float(BURST), tokens + (now - since) * PER_SECOND)
            taken = tokens >= 1.0
            self._held[principal] = (tokens - 1.0 if taken else tokens, now)
            if len(self._held) > _PRINCIPALS:  # of whom nothing was heard for longest
                self._held.popitem(last=False)
            return taken
