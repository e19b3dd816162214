"""What somebody has to look at, while the service goes on: raised, shown, and cleared."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from voiceflow.telemetry.metrics import TRUST_ALARMS

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that is wrong.

    Attributes:
        reason: As of an error: UPPER_SNAKE, stable.
        message: For people.
    """

    reason: str
    message: str


class Alarms:
    """The alarms of one process: one at most about each subject, `promotion` or `trust_root`.

    Each is logged when it is raised or changes; how many stand is the metric
    `voiceflow.trust.alarms`, by reason.
    """

    def __init__(self) -> None:
        self._raised: dict[str, Alarm] = {}

    @property
    def raised(self) -> dict[str, Alarm]:
        """Those that stand, by subject."""
        return dict(self._raised)

    def sound(self, subject: str, reason: str, message: str) -> None:
        """Raises the alarm about a subject, in place of any that stands."""
        alarm = Alarm(reason, message)
        if self._raised.get(subject) == alarm:
            return
        self._take(subject)
        self._raised[subject] = alarm
        TRUST_ALARMS.add(1, {"reason": reason})
        _LOG.error("alarm about the %s: %s: %s", subject, reason, message)

    def clear(self, subject: str) -> None:
        """Says that nothing is wrong with a subject."""
        if self._take(subject):
            _LOG.info("no alarm about the %s any more", subject)

    def _take(self, subject: str) -> bool:
        alarm = self._raised.pop(subject, None)
        if alarm is not None:
            TRUST_ALARMS.add(-1, {"reason": alarm.reason})
        return alarm is not None
