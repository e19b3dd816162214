"""Where the time of one hop goes in the server: pure, the time is given.

A hop is marked where each of its stages ends. A stage lasts from the mark before it, so that the
stages add up to the whole by construction, and all that happens on the way belongs to one of them:

    receive     from reading the message that completes the hop until the stream turns to it; a hop
                that shares its message with earlier ones waits for them here
    decode      the message's audio, to samples and hops
    queue       until the engine takes the batch
    gather      stacking audio and state
    infer       the call of the model alone
    scatter     state back to its slots, the look for NaN, and delivery to the stream
    identity    from frames to frames with labels
    turns       regions, turns and events
    serialise   replies, built and written as bytes
    send        until the transport took the last of them

Times are those of a monotonic clock, in nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from voiceflow_inference.urgency import Urgency


class Stage(StrEnum):
    """Stages of a hop, in their order, by their names in the API."""

    RECEIVE = "receive"
    DECODE = "decode"
    QUEUE = "queue"
    GATHER = "gather"
    INFER = "infer"
    SCATTER = "scatter"
    IDENTITY = "identity"
    TURNS = "turns"
    SERIALISE = "serialise"
    SEND = "send"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message of a client that was read.

    Attributes:
        read_ns: When.
        request: Its number within the call; the config is 0.
    """

    read_ns: int
    request: int = 0


@dataclass(slots=True, eq=False)
class BatchTimes:
    """One call of the engine, shared by its hops; 0: it has not come so far.

    Attributes:
        hops: That it computes, one of each stream, or some of each recording.
        taken_ns: When the engine took them.
        gathered_ns: When their audio and state were stacked.
        inferred_ns: When the model came back.
        scattered_ns: When their state was back in its slots.
        span: What an observer remembers of the call.
    """

    hops: int
    taken_ns: int = 0
    gathered_ns: int = 0
    inferred_ns: int = 0
    scattered_ns: int = 0
    span: object | None = None

    def ends(self) -> Iterator[tuple[Stage, int]]:
        """The stages of a hop before its delivery, each with its end."""
        yield Stage.QUEUE, self.taken_ns
        yield Stage.GATHER, self.gathered_ns
        yield Stage.INFER, self.inferred_ns


@dataclass(slots=True, eq=False)
class HopTimes:
    """The way of one hop, from the message that completed it.

    Attributes:
        started_ns: When that message was read.
        samples: Of the hop, at 16 kHz.
        urgency: Its class.
        request: Number of that message within the call; the config is 0.
        hops: Of a recording, several may go one way: so many.
        audio_end_samples: End of the hop's audio, at 16 kHz.
        generation: The one that computed it.
        model_version: `models/{model}/versions/{semver}`, of that one.
        marks: The stages so far, each with its end; a stage comes twice where a hop was computed
            twice, because its first model failed.
        batch: The call that computed it.
    """

    started_ns: int
    samples: int
    urgency: Urgency = Urgency.LIVE
    request: int = 0
    hops: int = 1
    audio_end_samples: int = 0
    generation: int = 0
    model_version: str = ""
    marks: list[tuple[Stage, int]] = field(default_factory=list)
    batch: BatchTimes | None = None

    def mark(self, stage: Stage, now_ns: int) -> None:
        """A stage ends now; the next begins."""
        self.marks.append((stage, now_ns))

    def mark_computed(self, now_ns: int) -> None:
        """The engine has answered: stages end as it says; the last that the hop reached, now."""
        reached = Stage.QUEUE
        if self.batch is not None:
            reached = Stage.SCATTER
            for stage, end_ns in self.batch.ends():
                if not 0 < end_ns <= now_ns:  # a call that failed, or does not come back
                    reached = stage
                    break
                self.mark(stage, end_ns)
        self.mark(reached, now_ns)

    @property
    def total_ns(self) -> int:
        """From the message until the last mark."""
        return self.marks[-1][1] - self.started_ns if self.marks else 0

    def elapsed_ns(self) -> dict[Stage, int]:
        """How long each stage took, in their order; what came twice is added up."""
        elapsed: dict[Stage, int] = {}
        before_ns = self.started_ns
        for stage, end_ns in self.marks:
            elapsed[stage] = elapsed.get(stage, 0) + end_ns - before_ns
            before_ns = end_ns
        return elapsed
