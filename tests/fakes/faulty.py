"""A model with a fault that sets in while it serves: what a gate cannot see before."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from enum import StrEnum

import numpy as np

from voiceflow.artifact import Manifest
from voiceflow.pipeline.model import BoundModel, FloatArray, Frames, State


class Fault(StrEnum):
    """What goes wrong."""

    NONE = "none"
    NAN = "nan"
    HANG = "hang"
    ERRORS = "errors"
    SLOW = "slow"


SLOWER = 1.3
"""How much longer each call of a slow model takes."""

_SPENT = threading.local()


def spent() -> float:
    """A clock that only calls of these models move, in this thread: 1 for each, 1.3 for a slow one.

    In place of a real one, where a test must not depend on what else the machine does.
    """
    return float(getattr(_SPENT, "calls", 0.0))


class Faulty:
    """A model whose fault sets in after so many hops that it has computed since `arm`.

    Args:
        model: That it is without its fault.
        fault: What goes wrong.
        after_hops: How many hops come out well before.
        version: Of its manifest; empty: the model's own.
    """

    def __init__(
        self,
        model: BoundModel,
        fault: Fault = Fault.NONE,
        *,
        after_hops: int = 0,
        version: str = "",
    ) -> None:
        self._model = model
        self._fault = fault
        self._after_hops = after_hops
        self._armed = False
        self._released = threading.Event()
        self.hops = 0
        changes = {"version": version} if version else {}
        self.manifest: Manifest = model.manifest.model_copy(update=changes)
        self.state_shapes: Mapping[str, tuple[int, ...]] = model.state_shapes

    def arm(self) -> None:
        """It serves from now on: what it computed until now was only to try it."""
        self._armed = True

    def run(self, audio: FloatArray, state: State) -> tuple[Frames, dict[str, FloatArray]]:
        """See `BoundModel.run`."""
        began = time.thread_time()
        frames, memory = self._model.run(audio, state)
        took = time.thread_time() - began
        slow = self._armed and self._fault is Fault.SLOW
        _SPENT.calls = spent() + (SLOWER if slow else 1.0)
        if not self._armed:
            return frames, memory
        self.hops += len(audio)
        if slow:
            while time.thread_time() - began < SLOWER * took:
                pass
        if self.hops <= self._after_hops:
            return frames, memory
        match self._fault:
            case Fault.NAN:
                nan = np.full_like(frames.speech, np.nan)
                return Frames(nan, frames.activity, frames.embedding), memory
            case Fault.HANG:
                self._released.wait()
                raise RuntimeError("terminated")
            case Fault.ERRORS:
                raise RuntimeError("planted")
        return frames, memory

    def terminate(self) -> None:
        """Ends the call that hangs."""
        self._released.set()
        self._model.terminate()
