"""The model and the memory of every stream that it serves, in slots.

Each state tensor is one preallocated array over all slots; a batch gathers its rows by index and
scatters them back. The pages of a slot that was never used are never touched, so room costs no
memory; and all of them go back to the system with the last reference.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from time import monotonic_ns

import numpy as np
from numpy.typing import NDArray

from voiceflow.artifact import Manifest
from voiceflow.errors import Overloaded
from voiceflow.pipeline.model import BoundModel, FloatArray, Frames
from voiceflow_inference.pages import zeros
from voiceflow_inference.stages import BatchTimes


class SlotBackend:
    """Runs one model for many streams.

    ``open`` and ``close`` are called by the event loop, ``run`` by the engine thread; they never
    touch the same slot at once, because a slot is closed only when none of its hops is in flight.
    ``terminate`` is called by any thread.

    Args:
        model: The loaded model.
        slots: How many streams it can hold at once.
        joins_hops: Whether the model computes some hops in one call as it does one by one.
    """

    def __init__(self, model: BoundModel, slots: int, *, joins_hops: bool = False) -> None:
        self._model = model
        self._joins_hops = joins_hops
        self._state = {
            name: zeros((slots, *shape), np.float32)  # (slots, …)
            for name, shape in model.state_shapes.items()
        }
        self._free = list(range(slots - 1, -1, -1))
        self._slots = slots
        self._lock = threading.Lock()
        self._calling = False
        self._terminated = False

    @property
    def manifest(self) -> Manifest:
        """What is said of the model."""
        return self._model.manifest

    @property
    def open_slots(self) -> int:
        """Slots in use."""
        return self._slots - len(self._free)

    def open(self, state: Mapping[str, FloatArray] | None = None) -> int:
        """Takes a slot.

        Args:
            state: Its memory; None: that of a stream that has heard nothing.

        Raises:
            Overloaded: Every slot is taken.
        """
        if not self._free:
            raise Overloaded(
                f"all {self._slots} slots are taken", reason="SLOTS_FULL", retry_after_seconds=1.0
            )
        slot = self._free.pop()
        for name, array in self._state.items():
            array[slot] = 0.0 if state is None else state[name]
        return slot

    def close(self, slot: int) -> None:
        """Gives a slot back."""
        self._free.append(slot)

    def state(self, slot: int) -> dict[str, FloatArray]:
        """A copy of the memory of a slot, each tensor without a batch axis."""
        return {name: array[slot].copy() for name, array in self._state.items()}

    def run(
        self, slots: Sequence[int], audio: FloatArray, times: BatchTimes, hops: int = 1
    ) -> tuple[Frames, list[bool]]:
        """Computes one hop of each stream, or some, and keeps its memory.

        Args:
            slots: One for each row.
            audio: (batch, samples).
            times: Told when each part is done.
            hops: In a row, all of one length.

        Returns:
            The frames, and for each row whether all of its numbers are finite. The memory of a row
            that is not stays as it was.

        Raises:
            Exception: What the model raises; or the call was terminated. Memory stays as it was.
        """
        rows = np.asarray(slots)
        memory = self._gather(rows)
        times.gathered_ns = monotonic_ns()
        frames, memory = self._hear(audio, memory, 1 if self._joins_hops else hops)
        times.inferred_ns = monotonic_ns()
        finite = self._scatter(rows, frames, memory)
        times.scattered_ns = monotonic_ns()
        return frames, finite

    def terminate(self) -> bool:
        """Ends the call that runs; no memory changes any more.

        Returns:
            False, and nothing is changed, if no call runs.
        """
        with self._lock:
            if not self._calling:
                return False
            self._terminated = True
        self._model.terminate()
        return True

    def _gather(self, rows: NDArray[np.intp]) -> dict[str, FloatArray]:
        """The memory of some slots, (batch, …)."""
        return {name: array.take(rows, axis=0) for name, array in self._state.items()}

    def _hear(
        self, audio: FloatArray, memory: dict[str, FloatArray], calls: int
    ) -> tuple[Frames, dict[str, FloatArray]]:
        """Computes the audio in so many calls, one after the other."""
        if calls == 1:
            return self._call(audio, memory)
        heard = []
        for part in np.split(audio, calls, axis=1):
            frames, memory = self._call(part, memory)
            heard.append(frames)
        return Frames.joined(heard), memory

    def _call(
        self, audio: FloatArray, memory: dict[str, FloatArray]
    ) -> tuple[Frames, dict[str, FloatArray]]:
        with self._lock:
            self._check_not_terminated()
            self._calling = True
        try:
            return self._model.run(audio, memory)
        finally:
            with self._lock:
                self._calling = False
                # A call that ends all the same is too late: its hops may be computed elsewhere.
                self._check_not_terminated()

    def _scatter(
        self, rows: NDArray[np.intp], frames: Frames, memory: Mapping[str, FloatArray]
    ) -> list[bool]:
        """Keeps the memory of the rows whose numbers are all finite, and says which those are."""
        finite = (
            _finite_rows(frames.speech)
            & _finite_rows(frames.activity)
            & _finite_rows(frames.embedding)
        )
        good: list[bool] = finite.tolist()
        if all(good):
            for name, array in memory.items():
                self._state[name][rows] = array
        else:
            for name, array in memory.items():
                self._state[name][rows[finite]] = array[finite]
        return good

    def _check_not_terminated(self) -> None:
        if self._terminated:
            raise RuntimeError("terminated")


def _finite_rows(array: FloatArray) -> NDArray[np.bool_]:
    """(batch, …) to (batch,)."""
    finite: NDArray[np.bool_] = np.isfinite(array)
    return np.asarray(finite.reshape(len(array), -1).all(axis=1), np.bool_)
