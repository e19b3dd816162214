"""Tells the log who is not let in and why: a line now and then, however often they try."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from voiceflow_inference.admission import StreamKind

_LOG = logging.getLogger(__name__)

SILENT_SECONDS: Final = 10.0
"""Between two lines of one reason and principal."""


@dataclass(slots=True)
class _Told:
    """When a line was written, and how many refusals have had none since."""

    at_seconds: float
    silent: int = 0


class Refusals:
    """Logs refusals by reason and principal.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[tuple[str, str], _Told] = {}

    def tell(self, kind: StreamKind, principal: str, reason: str) -> None:
        """Somebody was not let in."""
        now_seconds = self._clock()
        if len(self._told) >= _MOST and (reason, principal) not in self._told:
            self._forget(now_seconds)
        if len(self._told) >= _MOST:
            principal = _OTHERS
        told = self._told.get((reason, principal))
        if told is not None and now_seconds < told.at_seconds + SILENT_SECONDS:
            told.silent += 1
            return
        before = f"; {told.silent} more since the last such line" if told and told.silent else ""
        _LOG.info("%s: a %s of %s is not let in%s", reason, kind.value, principal, before)
        self._told[reason, principal] = _Told(now_seconds)

    def _forget(self, now_seconds: float) -> None:
        """Those who have been quiet for a while."""
        oldest = now_seconds - SILENT_SECONDS
        self._told = {key: told for key, told in self._told.items() if told.at_seconds > oldest}


_MOST: Final = 1000
_OTHERS: Final = "others"
