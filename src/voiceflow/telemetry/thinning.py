"""Takes some of what comes too often to be recorded each time; all of it, where it comes seldom."""

from __future__ import annotations

import random
from typing import Final


class Thinner:
    """Admits about so many a second, drawn by chance and by nothing else.

    How likely one is admitted follows from how many came in the second before. So what is admitted
    looks like what came: it says how something is distributed, not how often it was.

    Args:
        per_second: How many.
    """

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._likelihood = 1.0
        self._second = 0
        self._came = 0
        self._admitted = 0

    def admits(self, now_ns: int) -> bool:
        """Whether one that comes now is taken; by a monotonic clock."""
        second = now_ns // 1_000_000_000
        if second != self._second:
            came = self._came if second == self._second + 1 else 0
            self._likelihood = self._per_second / max(came, self._per_second)
            self._second, self._came, self._admitted = second, 0, 0
        self._came += 1
        if self._admitted >= _MOST * self._per_second or self._likelihood < random.random():  # noqa: S311
            return False
        self._admitted += 1
        return True


# Times as many in one second, where many more come than in the one before.
_MOST: Final = 2
