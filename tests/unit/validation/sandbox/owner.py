"""A process that owns a sandbox, to be killed: prints who is running, then waits."""

from __future__ import annotations

import sys

from tests.unit.validation.sandbox.acting import LIMITS, act
from voiceflow.validation.sandbox import Sandbox

with Sandbox(floor=frozenset(), probes="tests.fakes.hostile") as sandbox:
    opened = sandbox.open("act", files={}, arguments={}, limits=LIMITS)
    with opened as probe:
        sys.stdout.write(f"{sandbox.helper_pid} {probe.pid}\n")
        sys.stdout.flush()
        act(probe, "spin" if sys.argv[1] == "busy" else "sleep")
