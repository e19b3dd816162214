"""The inference service, whose recording of hops is switched by signals: for `telemetry.py` alone.

SIGUSR1 switches it on and SIGUSR2 off, for streams that begin from then on; a line on standard
output says that it is done.
"""

from __future__ import annotations

import dataclasses
import signal
import sys
from types import FrameType
from unittest import mock

from voiceflow_inference import app
from voiceflow_inference.__main__ import main
from voiceflow_inference.observing import Observing, Tracing

ON, OFF = signal.SIGUSR1, signal.SIGUSR2


class SwitchedObserving(Observing):
    """Observes, or does not, as the last signal said."""

    def __init__(self, tracing: Tracing) -> None:
        super().__init__(tracing)
        signal.signal(ON, self._switch)
        signal.signal(OFF, self._switch)

    def _switch(self, number: int, _frame: FrameType | None) -> None:
        self.tracing = dataclasses.replace(self.tracing, on=number == ON)
        print("on" if self.tracing.on else "off", flush=True)


if __name__ == "__main__":
    with mock.patch.object(app, "Observing", SwitchedObserving):
        sys.exit(main())
