"""Whether a thread gets on with what it does, as another sees it."""

from __future__ import annotations

from enum import Enum, auto


class Phase(Enum):
    """What the engine thread is about."""

    IDLE = auto()
    CALL = auto()
    HOOK = auto()


class Progress:
    """What the engine thread is about, and since when in looks; under its owner's lock."""

    def __init__(self) -> None:
        self.phase = Phase.IDLE
        self._step = 0
        self._looked_at = 0
        self._looks = 0

    def enter(self, phase: Phase) -> None:
        """The thread goes on to something else, or to the same again."""
        self.phase = phase
        self._step += 1

    def look(self) -> int:
        """How many looks in a row, with this one, have found the thread where the first did.

        Unlike the time that has passed, looks do not go on while the whole process is stopped, or
        the event loop held up.
        """
        same = self._step == self._looked_at and self.phase is not Phase.IDLE
        self._looks = self._looks + 1 if same else 0
        self._looked_at = self._step
        return self._looks
