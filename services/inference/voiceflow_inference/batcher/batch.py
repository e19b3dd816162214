"""Hops that are computed together, and what becomes of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from voiceflow.errors import VoiceFlowError
from voiceflow.pipeline.model import FloatArray, Frames
from voiceflow_inference.stages import HopTimes
from voiceflow_inference.urgency import Urgency

if TYPE_CHECKING:
    from voiceflow_inference.batcher.lane import Lane


class ModelFailed(VoiceFlowError):
    """The model did not compute a hop; the stream's memory is what it was before."""


@dataclass(frozen=True, slots=True)
class BatchRun:
    """What became of one batch.

    Attributes:
        hops: That were computed, or tried.
        failed: Of these, how many the model raised an error for, or did not come back from.
        non_finite: Of these, how many gave NaN or infinity.
        seconds: In the engine.
        urgency: Of all of them.
        latencies_seconds: From arrival until the stream was told, of live hops that came out well.
        hung: The model did not come back; there is no batch after this one.
    """

    hops: int
    failed: int
    non_finite: int
    seconds: float
    urgency: Urgency
    latencies_seconds: tuple[float, ...] = ()
    hung: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One hop, on its way; or some of a recording."""

    hop: FloatArray  # (samples,)
    arrived_seconds: float
    urgency: Urgency
    lane: Lane
    future: asyncio.Future[Frames]
    times: HopTimes | None

    @property
    def hops(self) -> int:
        """One; of a recording, as many as are computed one after the other."""
        return 1 if self.times is None else self.times.hops


@dataclass(slots=True, eq=False)
class Batch:
    """Hops that are computed together; those of streams that have gone get no result."""

    jobs: list[Job]
    urgency: Urgency
    results: dict[Job, Frames | ModelFailed] = field(default_factory=dict)
    seconds: float = 0.0
    hung: bool = False

    def report(self, now: float) -> BatchRun:
        """What became of it; its streams are told now, in seconds by the batcher's clock."""
        failed: Counter[str] = Counter()
        for job, result in self.results.items():
            if isinstance(result, ModelFailed):
                failed[result.reason] += job.hops
        non_finite = failed[output_not_finite().reason]
        told = () if self.urgency else self.results.items()
        return BatchRun(
            hops=sum(job.hops for job in self.results),
            failed=failed.total() - non_finite,
            non_finite=non_finite,
            seconds=self.seconds,
            urgency=self.urgency,
            latencies_seconds=tuple(
                now - job.arrived_seconds for job, result in told if isinstance(result, Frames)
            ),
            hung=self.hung,
        )


def tell(job: Job, result: Frames | ModelFailed | None) -> None:
    """Tells a stream what became of its hop; None: it has gone, and does not wait."""
    if not job.future.done():  # a cancelled stream does not wait any more
        if isinstance(result, Frames):
            job.future.set_result(result)
        elif result is not None:
            job.future.set_exception(result)
    job.lane.landed()


def model_failed() -> ModelFailed:
    """The model raised an error."""
    return ModelFailed("the model failed on this stream's audio", reason="MODEL_FAILED")


def model_unloaded() -> ModelFailed:
    """The engine was stopped."""
    return ModelFailed("the model was unloaded under this stream", reason="MODEL_FAILED")


def output_not_finite() -> ModelFailed:
    """NaN or infinity came out."""
    return ModelFailed(
        "the model gave numbers that are not finite for this stream's audio",
        reason="MODEL_OUTPUT_NOT_FINITE",
    )


def model_hung() -> ModelFailed:
    """A call did not come back."""
    return ModelFailed("the model did not come back; it is not asked again", reason="MODEL_HUNG")
