"""What is told of streams and of hops: metrics of all of them, traces of a few.

A stream's own spans are short: one for its begin, one for its end, both under what its client does.
A hop's trace is its own, linked to the stream's begin, with a span for each stage: made after the
last reply is sent, so that a hop that never gets there leaves nothing behind. Traced are a share of
all hops, drawn by session and place in the audio, and those that took too long, up to some a
second: who is late already is not to be held up by telling of it. Every hop is counted; histograms
hold some a second, drawn by chance and never for being slow, so that they look like the whole.

What is told of a hop waits for up to a second, for hops that are told of one after the other cost a
fraction of what each costs between other work.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind

from voiceflow.artifact import SAMPLE_RATE_HERTZ, LatencyMode
from voiceflow.errors import VoiceFlowError
from voiceflow.telemetry import metrics
from voiceflow.telemetry.context import extracted
from voiceflow.telemetry.metrics import Reading
from voiceflow.telemetry.spans import tell_outcome, wall_ns
from voiceflow.telemetry.thinning import Thinner
from voiceflow_inference.admission import StreamKind
from voiceflow_inference.refusals import Refusals
from voiceflow_inference.stages import BatchTimes, HopTimes, Stage
from voiceflow_inference.urgency import Urgency

Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class Tracing:
    """What is recorded of hops.

    Attributes:
        on: Anything at all.
        pod: What this process calls itself.
        share: Of hops that are traced.
        objective_seconds: Hops that take longer are traced, whatever the share.
    """

    on: bool
    pod: str
    share: float
    objective_seconds: float


class Observing:
    """Observes the streams of a process; used by the event loop alone.

    Args:
        tracing: What is recorded of hops.
    """

    def __init__(self, tracing: Tracing) -> None:
        self.tracing = tracing
        self.batches = Batches()
        self.refusals = Refusals()
        self.measured = Thinner(_MEASURED_PER_SECOND)
        self.slow = Thinner(_SLOW_PER_SECOND)
        self._waiting: deque[_Told] = deque()
        self._live: Counter[tuple[str, StreamKind]] = Counter()
        self._answered: Counter[tuple[str, Urgency]] = Counter()

    @contextmanager
    def call(
        self, kind: StreamKind, metadata: Metadata | None, principal: str = ""
    ) -> Iterator[StreamObserver]:
        """Observes one call while the block runs, from before it is known whether it gets in.

        Args:
            kind: Of the call.
            metadata: That came with it.
            principal: Who calls.
        """
        observer = StreamObserver(self, kind, extracted(metadata), principal)
        try:
            yield observer
        except BaseException as error:
            observer.end(error)
            raise
        observer.end(None)

    def streams(self) -> list[Reading]:
        """How many streams are live, by version and kind."""
        return [
            (count, {"version": version, "kind": kind.value})
            for (version, kind), count in list(self._live.items())
        ]

    def answered(self, times: HopTimes) -> None:
        """Counts a hop, or those of a recording that went one way."""
        self._answered[times.model_version, times.urgency] += times.hops

    def later(self, told: _Told) -> None:
        """Keeps a hop to be told of."""
        self._waiting.append(told)

    def tell(self) -> None:
        """Tells all that has gathered, in the end."""
        for _ in self.telling():
            pass

    def telling(self, batches_older_than_seconds: float = 0.0) -> Iterator[None]:
        """Tells what has gathered, a hop at a time; called every second.

        Args:
            batches_older_than_seconds: Spans of engine calls that were made so long ago end.
        """
        for _ in range(len(self._waiting)):
            told = self._waiting.popleft()
            told.stream.tell(told)
            yield
        for (version, urgency), count in self._answered.items():
            metrics.HOPS.add(count, {"version": version, "urgency": urgency.name.lower()})
        self._answered.clear()
        self.batches.end(batches_older_than_seconds)

    def count(self, version: str, kind: StreamKind, change: int) -> None:
        """A stream has come to a version, or has left it."""
        self._live[version, kind] += change
        if not self._live[version, kind]:
            del self._live[version, kind]


class StreamObserver:
    """One stream: its spans, and those of its hops.

    Args:
        observing: Of the process.
        kind: Of the call.
        parent: What its client does.
        principal: Who it is.
    """

    def __init__(
        self, observing: Observing, kind: StreamKind, parent: Context, principal: str
    ) -> None:
        self._observing = observing
        self._tracing = observing.tracing
        self._kind = kind
        self._parent = parent
        self._principal = principal
        self._attributes: dict[str, str] = {"voiceflow.kind": kind.value}
        if self._tracing.pod:
            self._attributes["voiceflow.pod"] = self._tracing.pod
        self._begin = _TRACER.start_span(
            "voiceflow.stream.begin", parent, SpanKind.SERVER, self._attributes
        )
        self._session = ""
        self._mode = ""
        self._version = ""
        self._lag = Lag()

    def begun(self, session: str, mode: LatencyMode, version: str, generation: int) -> None:
        """The stream is let in."""
        self._session, self._mode = session, mode.value
        self._attributes |= {"voiceflow.session": session, "voiceflow.latency_mode": mode.value}
        self._begin.set_attributes(self._attributes)
        self._begin.set_attribute("voiceflow.model.version", version)
        self._begin.set_attribute("voiceflow.generation", generation)
        self._begin.end()
        self._is_on(version)

    @property
    def on_hop(self) -> Callable[[HopTimes], None]:
        """What is called when the last reply of a hop is sent."""
        return self._hop if self._tracing.on else _nothing

    def end(self, error: BaseException | None) -> None:
        """The call is over."""
        if not self._version:
            if isinstance(error, VoiceFlowError):
                metrics.REFUSALS.add(1, {"reason": error.reason})
                self._observing.refusals.tell(self._kind, self._principal, error.reason)
            tell_outcome(self._begin, error)
            self._begin.end()
            return
        span = _TRACER.start_span(
            "voiceflow.stream.end",
            self._parent,
            SpanKind.SERVER,
            self._attributes | {"voiceflow.model.version": self._version},
            [Link(self._begin.get_span_context())],
        )
        tell_outcome(span, error)
        span.end()
        self._observing.count(self._version, self._kind, -1)

    def _is_on(self, version: str) -> None:
        """Counts the stream where it is."""
        if self._version:
            self._observing.count(self._version, self._kind, -1)
        self._version = version
        self._observing.count(version, self._kind, 1)

    def _hop(self, times: HopTimes) -> None:
        """Tells of a hop that is answered."""
        seen, now_ns = self._observing, times.started_ns + times.total_ns
        if times.model_version != self._version:
            self._is_on(times.model_version)
        seen.answered(times)
        lag_seconds = self._lag.after(times)
        drawn = is_drawn(self._session, times.audio_end_samples, self._tracing.share)
        traced = drawn or (self._is_slow(times) and seen.slow.admits(now_ns))
        measured = seen.measured.admits(now_ns)
        if traced or measured:
            seen.later(_Told(self, times, lag_seconds, traced, drawn, measured))

    def tell(self, told: _Told) -> None:
        """Makes the spans of a hop, and puts it into the histograms, as it was decided."""
        context = self._trace(told.times, drawn=told.drawn) if told.traced else None
        if told.measured:
            self._measure(told.times, told.lag_seconds, context)

    def _is_slow(self, times: HopTimes) -> bool:
        return times.total_ns > self._tracing.objective_seconds * 1e9

    def _measure(self, times: HopTimes, lag_seconds: float, context: Context | None) -> None:
        """Puts a hop into the histograms."""
        # A recording waits for its turn behind live streams: that is no slowness of theirs.
        of_class = {"version": times.model_version, "urgency": times.urgency.name.lower()}
        of_hop = of_class | {"mode": self._mode}
        metrics.HOP_DURATION.record(times.total_ns / 1e9, of_hop, context)
        if self._kind is StreamKind.STREAM:
            metrics.STREAM_LAG.record(lag_seconds, {"mode": self._mode}, context)
        for stage, elapsed_ns in times.elapsed_ns().items():
            of_stage = of_class | {"stage": stage.value}
            metrics.HOP_STAGE_DURATION.record(elapsed_ns / 1e9, of_stage, context)

    def _trace(self, times: HopTimes, *, drawn: bool) -> Context:
        """Makes the spans of a hop; returns the context of the whole."""
        hop = _TRACER.start_span(
            "voiceflow.hop",
            Context(),
            attributes=self._attributes
            | {
                "voiceflow.model.version": times.model_version,
                "voiceflow.generation": times.generation,
                "voiceflow.hop.audio_end_seconds": times.audio_end_samples / SAMPLE_RATE_HERTZ,
                "voiceflow.hop.request": times.request,
                "voiceflow.hop.drawn": drawn,
            },
            links=[Link(self._begin.get_span_context())],
            start_time=wall_ns(times.started_ns),
        )
        context = trace.set_span_in_context(hop, Context())
        before_ns = times.started_ns
        for stage, end_ns in times.marks:
            self._trace_stage(context, stage, before_ns, end_ns, times)
            before_ns = end_ns
        hop.end(wall_ns(before_ns))
        return context

    def _trace_stage(
        self, hop: Context, stage: Stage, start_ns: int, end_ns: int, times: HopTimes
    ) -> None:
        span = _TRACER.start_span(f"voiceflow.hop.{stage.value}", hop, start_time=wall_ns(start_ns))
        batch = times.batch
        # A hop that was computed twice has two such stages; its batch is that of the last.
        if stage is Stage.INFER and batch is not None and batch.inferred_ns == end_ns:
            span.set_attribute("voiceflow.batch.size", batch.hops)
            shared = self._observing.batches.span(batch, times, self._tracing.pod)
            span.add_link(shared.get_span_context())
            shared.add_link(span.get_span_context())
        span.end(wall_ns(end_ns))


@dataclass(frozen=True, slots=True)
class _Told:
    """What is to be told of a hop."""

    stream: StreamObserver
    times: HopTimes
    lag_seconds: float
    traced: bool
    drawn: bool
    measured: bool


class Batches:
    """Spans of engine calls that hops with a trace have shared.

    A call's span is made with the first of its hops that is traced, and ends a while after: when
    the others are, and whether they ever are, nobody knows.
    """

    def __init__(self) -> None:
        self._open: list[tuple[int, BatchTimes, Span]] = []

    def span(self, batch: BatchTimes, times: HopTimes, pod: str) -> Span:
        """The span of a call, which links are added to."""
        if isinstance(batch.span, Span):
            return batch.span
        span = _TRACER.start_span(
            "voiceflow.batch",
            Context(),
            attributes={
                "voiceflow.batch.size": batch.hops,
                "voiceflow.model.version": times.model_version,
                "voiceflow.generation": times.generation,
                "voiceflow.pod": pod,
            },
            start_time=wall_ns(batch.taken_ns),
        )
        batch.span = span
        self._open.append((time.monotonic_ns(), batch, span))
        return span

    def end(self, older_than_seconds: float = 0.0) -> None:
        """Ends those that were made so long ago."""
        until_ns = time.monotonic_ns() - round(older_than_seconds * 1e9)
        old = [one for one in self._open if one[0] <= until_ns]
        self._open = [one for one in self._open if one[0] > until_ns]
        for _, batch, span in old:
            span.end(wall_ns(max(batch.inferred_ns, batch.scattered_ns)))


class Lag:
    """How far the answers of a live stream are behind its audio. Pure: the time is given.

    Counted from when the stream had last caught up: its hop was answered, and for a good part of
    the next one there was nothing to do.
    """

    def __init__(self) -> None:
        self._zero_ns: int | None = None
        self._answered_ns = 0

    def after(self, times: HopTimes) -> float:
        """Seconds, after a hop that is answered."""
        audio_ns = round(times.audio_end_samples / SAMPLE_RATE_HERTZ * 1e9)
        hop_ns = times.samples / SAMPLE_RATE_HERTZ * 1e9
        zero_ns = times.started_ns - audio_ns
        idle_ns = times.started_ns - self._answered_ns
        if self._zero_ns is None or zero_ns < self._zero_ns or idle_ns > _IDLE_SHARE * hop_ns:
            self._zero_ns = zero_ns
        self._answered_ns = times.started_ns + times.total_ns
        return (self._answered_ns - audio_ns - self._zero_ns) / 1e9


def is_drawn(session: str, audio_end_samples: int, share: float) -> bool:
    """Whether a hop is among those that are traced: the same wherever it is asked."""
    if share <= 0:
        return False
    drawn = hashlib.blake2b(f"{session}/{audio_end_samples}".encode(), digest_size=8).digest()
    return int.from_bytes(drawn) < share * 2**64


def _nothing(_times: HopTimes) -> None:
    """Tells nobody."""


_IDLE_SHARE: Final = 0.25
_MEASURED_PER_SECOND: Final = 5
_SLOW_PER_SECOND: Final = 2
_TRACER: Final = trace.get_tracer("voiceflow")
