"""Every instrument that this project measures with: its name, unit and meaning stand here alone.

Dots here are underscores in Prometheus, which adds the unit and `_total`. Attributes are few and
bounded: a `version` is one that is loaded, and nothing is told of a single stream. Where nothing is
recorded (`voiceflow.telemetry.started`), an instrument does nothing.

Counters and histograms are told where something happens, on any thread. Gauges are asked when
somebody reads them, on a thread of the reader: see `Gauge`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeAlias

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Observation, UpDownCounter

Reading: TypeAlias = tuple[float, Mapping[str, str]]
"""A value and its attributes."""


class Gauge:
    """Asks for its values when they are read.

    Args:
        name: With dots.
        unit: As UCUM writes it.
        description: For people.
    """

    def __init__(self, name: str, unit: str, description: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._tellers: list[Callable[[], Iterable[Reading]]] = []
        _METER.create_observable_gauge(name, [self._read], unit, description)

    @contextmanager
    def told_by(self, tell: Callable[[], Iterable[Reading]]) -> Iterator[None]:
        """Asks this while the block runs; it answers at once, on whichever thread asks."""
        with self._lock:
            self._tellers.append(tell)
        try:
            yield
        finally:
            with self._lock:
                self._tellers.remove(tell)

    def _read(self, _options: CallbackOptions) -> Iterable[Observation]:
        with self._lock:
            tellers = tuple(self._tellers)
        return [Observation(value, dict(of)) for tell in tellers for value, of in tell()]


_METER: Final = metrics.get_meter("voiceflow")

# Seconds: of hops and their stages, of calls that wait for a disk or a person's network, and of
# work that loads or judges a model.
_HOP_SECONDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05),
    *(0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
_CALL_SECONDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
    *(2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0),
)
_BATCH_HOPS: Final = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)


def _counter(name: str, unit: str, description: str) -> Counter:
    return _METER.create_counter(name, unit, description)


def _standing(name: str, unit: str, description: str) -> UpDownCounter:
    return _METER.create_up_down_counter(name, unit, description)


def _histogram(
    name: str, unit: str, description: str, bounds: Iterable[float] = _CALL_SECONDS
) -> Histogram:
    return _METER.create_histogram(
        name, unit, description, explicit_bucket_boundaries_advisory=list(bounds)
    )


# Both services

ACCESS_REFUSALS: Final = _counter(
    "voiceflow.access.refusals", "{call}", "calls refused to who called, by reason"
)
RELOAD_FAILURES: Final = _counter(
    "voiceflow.reload.failures", "{content}", "contents of files that were refused, by what"
)
TRUST_ALARMS: Final = _standing(
    "voiceflow.trust.alarms", "{alarm}", "alarms that stand, about what is trusted, by reason"
)
RPC_DURATION: Final = _histogram(
    "voiceflow.rpc.duration",
    "s",
    "calls from their arrival to their end, by method and status; not those without end",
)
TELEMETRY_DROPPED: Final = _counter(
    "voiceflow.telemetry.dropped", "{span}", "spans that did not get out, by why"
)

# Streams and hops of an inference service

STREAMS: Final = Gauge("voiceflow.streams", "{stream}", "live streams, by version and kind")
CAPACITY_STREAMS: Final = Gauge(
    "voiceflow.capacity.streams", "{stream}", "streams that there is room for in all"
)
HOPS: Final = _counter("voiceflow.hops", "{hop}", "hops answered, by version and urgency")
HOP_DURATION: Final = _histogram(
    "voiceflow.hop.duration",
    "s",
    "some hops from their last byte to their last reply, by version, urgency and mode",
    _HOP_SECONDS,
)
HOP_STAGE_DURATION: Final = _histogram(
    "voiceflow.hop.stage.duration",
    "s",
    "the stages of these, by stage, version and urgency",
    _HOP_SECONDS,
)
STREAM_LAG: Final = _histogram(
    "voiceflow.stream.lag",
    "s",
    "how far they are behind the audio since the live stream had last caught up, by mode",
    _HOP_SECONDS,
)
QUEUE_AGE: Final = Gauge("voiceflow.queue.age", "s", "how long the oldest live hop has waited")
QUEUE_HOPS: Final = Gauge("voiceflow.queue.hops", "{hop}", "hops that wait for an engine")
BATCH_SIZE: Final = _histogram(
    "voiceflow.batch.size",
    "{hop}",
    "hops that were computed together in some calls, by version",
    _BATCH_HOPS,
)
REAL_TIME_FACTOR: Final = Gauge(
    "voiceflow.engine.real_time_factor", "1", "share of its time that the engine is busy"
)
LOOP_BUSY: Final = _counter(
    "voiceflow.loop.busy", "s", "processor time of the event loop, where all but the engine runs"
)
LOOP_LAG: Final = _histogram(
    "voiceflow.loop.lag",
    "s",
    "how late the event loop comes to what is due, once a second",
    _HOP_SECONDS,
)
REFUSALS: Final = _counter(
    "voiceflow.refusals", "{stream}", "streams and recordings that were not let in, by reason"
)

# Versions in an inference service

SWAPS: Final = _counter("voiceflow.swaps", "{swap}", "versions that became primary, by version")
STREAM_MOVES: Final = _counter(
    "voiceflow.stream.moves", "{stream}", "streams that went to another version, by how"
)
DRAINS: Final = _counter("voiceflow.drains", "{drain}", "versions that were drained, by version")
REVERTS: Final = _counter(
    "voiceflow.reverts",
    "{revert}",
    "versions that were left because they failed, by version and reason",
)
GENERATION_STATE: Final = Gauge(
    "voiceflow.generation.state", "{generation}", "generations loaded, by version, state and role"
)
PROMOTION_INFO: Final = Gauge(
    "voiceflow.promotion.info",
    "{version}",
    "1 for each version that a promotion has in a pod, by model, channel, sequence, version, role",
)
SERVING_SEQUENCE: Final = Gauge(
    "voiceflow.serving.sequence", "{promotion}", "number of the promotion that is served"
)
DESIRED_SEQUENCE: Final = Gauge(
    "voiceflow.desired.sequence", "{promotion}", "number of the promotion that is to be served"
)
SHADOW_FRAMES: Final = _counter(
    "voiceflow.shadow.frames", "{frame}", "frames that a shadow heard, too, by version"
)
SHADOW_DISAGREEMENT: Final = _counter(
    "voiceflow.shadow.disagreement",
    "{frame}",
    "of these, those in which it hears others than the primary, by version",
)
SHADOW_SHED: Final = _counter(
    "voiceflow.shadow.shed", "{stream}", "streams whose shadow fell behind, by version"
)

# The registry

PUBLISHES: Final = _counter("voiceflow.publishes", "{version}", "versions sent in, by outcome")
GATE_RESULTS: Final = _counter(
    "voiceflow.gate.results", "{run}", "runs of gates, by gate and outcome"
)
GATE_DURATION: Final = _histogram("voiceflow.gate.duration", "s", "runs of gates, by gate")
PROMOTIONS: Final = _counter(
    "voiceflow.promotions", "{promotion}", "promotions committed, by model, channel and kind"
)
CHANNEL_SEQUENCE: Final = Gauge(
    "voiceflow.channel.sequence",
    "{promotion}",
    "number of a channel's newest promotion, by model and channel",
)
WATCHERS: Final = Gauge("voiceflow.watchers", "{call}", "calls that watch channels")
WATCH_DELAY: Final = _histogram(
    "voiceflow.watch.delay", "s", "from the commit of a promotion until a watcher was told"
)
STORAGE_DURATION: Final = _histogram(
    "voiceflow.storage.duration", "s", "operations on the store, by operation and outcome"
)
STORAGE_RETRIES: Final = _counter(
    "voiceflow.storage.retries", "{try}", "operations on the store tried again, by operation"
)
PODS: Final = Gauge(
    "voiceflow.pods", "{pod}", "pods that report, by channel and whether they serve its newest"
)
AUDIT_FAILURES: Final = _counter(
    "voiceflow.audit.failures", "{entry}", "outcomes that could not be written, by method"
)
AUDIT_DROPPED: Final = _counter(
    "voiceflow.audit.dropped", "{refusal}", "refusals that were not recorded, by why"
)
