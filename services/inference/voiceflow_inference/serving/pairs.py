"""Measures a canary's calls beside the primary's: both models, one thread, one right after another.

How long hops take in a pod says little of a canary: its batches are smaller than the primary's, and
other work takes turns with both. Here both models get the same audio in batches of the same size,
in the engine thread of the canary, after some of its own batches; whatever else happens to the
machine happens to both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import numpy as np

from voiceflow.pipeline.model import BoundModel, FloatArray, empty_state
from voiceflow.provider import Provider
from voiceflow_inference.serving.evidence import Pair


class PairedCalls:
    """What a canary's batcher calls after each batch.

    Args:
        subject: The canary's model.
        base: The primary's model.
        tell: Takes each pair, in the engine thread.
        clock: Seconds; see `clock_of_calls`.
    """

    def __init__(
        self,
        subject: BoundModel,
        base: BoundModel,
        tell: Callable[[Pair], None],
        clock: Callable[[], float],
    ) -> None:
        self._subject = subject
        self._base = base
        self._tell = tell
        self._clock = clock
        self._batches = 0
        self._pairs = 0

    def after_batch(self, batch: int, samples: int) -> None:
        """Measures a pair after every eighth batch; later, when much is known, more rarely.

        Args:
            batch: How many hops it had.
            samples: Of each.
        """
        self._batches += 1
        every = _BATCHES_A_PAIR if self._pairs < _EAGER_PAIRS else _BATCHES_A_LATER_PAIR
        if self._batches % every or not _takes(self._base, samples):
            return
        audio = _noise(batch, samples)
        self._pairs += 1
        # What a call finds in the caches makes a quarter of its time: both are measured after one
        # call of the other model. While streams are told of the batch, calls are slower: either
        # model is measured first in every other pair.
        self._seconds(self._base, audio)
        if self._pairs % 2:
            subject_seconds = self._seconds(self._subject, audio)
            base_seconds = self._seconds(self._base, audio)
        else:
            self._seconds(self._subject, audio)
            base_seconds = self._seconds(self._base, audio)
            subject_seconds = self._seconds(self._subject, audio)
        self._tell(Pair(subject_seconds, base_seconds))

    def _seconds(self, model: BoundModel, audio: FloatArray) -> float:
        state = empty_state(model, len(audio))
        started = self._clock()
        model.run(audio, state)
        return self._clock() - started


def clock_of_calls(threads: int, provider: Provider) -> Callable[[], float]:
    """What calls are compared by.

    The thread's processor time, which leaves out what others do to the machine; wall time where a
    call uses threads of its own, or waits for a GPU.
    """
    alone = threads == 1 and provider == "cpu"
    return time.thread_time if alone else time.perf_counter


_BATCHES_A_PAIR: Final = 8
_EAGER_PAIRS: Final = 128
_BATCHES_A_LATER_PAIR: Final = 32


def _takes(model: BoundModel, samples: int) -> bool:
    """Whether hops of the one model may be given to the other: they may have another grid."""
    manifest = model.manifest
    return samples % manifest.frame_samples == 0 and samples <= max(manifest.hop_samples.values())


def _noise(batch: int, samples: int) -> FloatArray:
    """(batch, samples): quiet, and no zeros, with which some kernels are faster."""
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, (batch, samples))
    return noise.astype(np.float32)
