"""What is told of streams and hops: shapes of traces, who is drawn, and what metrics hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic_ns
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from tests.fakes.metrics import counted, histogram_count
from tests.fakes.spans import Recorded, recorded, span_id
from voiceflow.artifact import LatencyMode
from voiceflow.errors import NotFound, Overloaded
from voiceflow_inference.admission import StreamKind
from voiceflow_inference.observing import (
    Lag,
    Metadata,
    Observing,
    StreamObserver,
    Tracing,
    is_drawn,
)
from voiceflow_inference.stages import BatchTimes, HopTimes, Stage
from voiceflow_inference.urgency import Urgency

SECOND = 16_000
MILLISECOND = 1_000_000
VERSION = "models/observed/versions/1.0.0"
OTHER = "models/observed/versions/1.1.0"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CLIENT = [("traceparent", f"00-{TRACE}-{PARENT}-01")]


def observing(share: float = 1.0, objective_seconds: float = 10.0, *, on: bool = True) -> Observing:
    """Of a pod whose hops are all traced, unless it is said otherwise."""
    return Observing(Tracing(on, "pod-1", share, objective_seconds))


def begun(observer: StreamObserver, session: str = "s") -> Callable[[HopTimes], None]:
    """Lets a stream in; returns what is called for each of its hops."""
    observer.begun(session, LatencyMode.AGENT, VERSION, 3)
    return observer.on_hop


@contextmanager
def told(seen: Observing, metadata: Metadata = ()) -> Iterator[StreamObserver]:
    """A stream; when it is over, all that there is to tell of it is told."""
    with seen.call(StreamKind.STREAM, metadata) as observer:
        yield observer
    seen.tell()


def hop(
    audio_end_samples: int = SECOND,
    *,
    started_ns: int = 0,
    total_ns: int = 10 * MILLISECOND,
    version: str = VERSION,
    batch: BatchTimes | None = None,
) -> HopTimes:
    """A hop of 80 ms, each of whose stages took as long."""
    started_ns = started_ns or monotonic_ns()
    times = HopTimes(
        started_ns,
        1280,
        Urgency.LIVE,
        audio_end_samples=audio_end_samples,
        generation=3,
        model_version=version,
        batch=batch,
    )
    for number, stage in enumerate(Stage, 1):
        times.mark(stage, started_ns + total_ns * number // len(Stage))
    return times


def fail(observing: Observing, error: BaseException, *, is_in: bool) -> None:
    """A stream that fails, before or after it is let in."""
    with observing.call(StreamKind.STREAM, ()) as observer:
        if is_in:
            begun(observer)
        raise error


def in_batch(hops: int) -> BatchTimes:
    """An engine's call."""
    now = monotonic_ns()
    return BatchTimes(hops, now, now + 1, now + 2, now + 3)


def of_batch(batch: BatchTimes, audio_end_samples: int = SECOND) -> HopTimes:
    """A hop that was computed by a call."""
    times = HopTimes(
        batch.taken_ns - MILLISECOND,
        1280,
        audio_end_samples=audio_end_samples,
        model_version=VERSION,
        batch=batch,
    )
    times.mark_computed(batch.scattered_ns + 1)
    times.mark(Stage.SEND, batch.scattered_ns + 2)
    return times


def links(span: ReadableSpan) -> list[int]:
    """The spans that one is linked to."""
    return [link.context.span_id for link in span.links]


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    """Of a span."""
    return span.attributes or {}


def one(spans: Recorded, name: str) -> ReadableSpan:
    """The only span of a name."""
    (span,) = spans.named(name)
    return span


def test_a_stream_has_two_short_spans_under_what_its_client_does() -> None:
    """Begin and end are children of the client's span; the end is linked to the begin."""
    with recorded() as spans, told(observing(), CLIENT) as observer:
        begun(observer)
        begin = one(spans, "voiceflow.stream.begin")  # told at once, not after the stream
    end = one(spans, "voiceflow.stream.end")
    for span in (begin, end):
        assert span.parent is not None
        assert (span.parent.trace_id, span.parent.span_id) == (int(TRACE, 16), int(PARENT, 16))
        assert attributes(span)["voiceflow.session"] == "s"
        assert attributes(span)["voiceflow.pod"] == "pod-1"
        assert attributes(span)["voiceflow.latency_mode"] == "agent"
        assert attributes(span)["voiceflow.model.version"] == VERSION
    assert attributes(begin)["voiceflow.generation"] == 3
    assert attributes(end)["voiceflow.outcome"] == "OK"
    assert links(end) == [span_id(begin)]


def test_a_hop_has_a_trace_of_its_own_that_leads_to_its_stream() -> None:
    """It is no child of anything, is linked to the begin, and has a child for each stage."""
    with recorded() as spans, told(observing(), CLIENT) as observer:
        begun(observer)(hop(3 * SECOND))
    whole, begin = one(spans, "voiceflow.hop"), one(spans, "voiceflow.stream.begin")
    assert whole.parent is None
    assert links(whole) == [span_id(begin)]
    assert attributes(whole)["voiceflow.hop.audio_end_seconds"] == 3.0
    assert attributes(whole)["voiceflow.session"] == "s"
    stages = [span for span in spans.ended if span.name.startswith("voiceflow.hop.")]
    assert [span.name for span in stages] == [f"voiceflow.hop.{stage.value}" for stage in Stage]
    assert {span.parent.span_id for span in stages if span.parent} == {span_id(whole)}
    assert spans.unended() == []


def test_the_spans_of_stages_fill_that_of_the_hop() -> None:
    """Each begins where the one before it ends, from the begin of the whole to its end."""
    with recorded() as spans, told(observing()) as observer:
        begun(observer)(hop())
    whole = one(spans, "voiceflow.hop")
    at = whole.start_time
    for stage in Stage:
        span = one(spans, f"voiceflow.hop.{stage.value}")
        assert span.start_time == at
        at = span.end_time
    assert at == whole.end_time
    assert whole.start_time is not None
    assert whole.end_time == whole.start_time + 10 * MILLISECOND


def test_hops_of_a_batch_share_its_span_and_are_linked_both_ways() -> None:
    """One span for the call, with a link to each hop's infer span, which links back."""
    seen = observing()
    batch = in_batch(2)
    with recorded() as spans:
        for session in ("one", "other"):
            with seen.call(StreamKind.STREAM, ()) as observer:
                begun(observer, session)(of_batch(batch))
        assert spans.named("voiceflow.batch") == []
        seen.tell()
        assert spans.unended() == []
    shared, infers = one(spans, "voiceflow.batch"), spans.named("voiceflow.hop.infer")
    assert len(infers) == 2
    assert links(shared) == [span_id(span) for span in infers]
    assert [links(span) for span in infers] == [[span_id(shared)]] * 2
    assert attributes(shared)["voiceflow.batch.size"] == 2
    assert attributes(infers[0])["voiceflow.batch.size"] == 2
    assert shared.parent is None


def test_a_batch_ends_though_its_other_hops_never_do() -> None:
    """Of four hops one is told of; the span of their call waits for nobody."""
    seen = observing()
    with recorded() as spans:
        with seen.call(StreamKind.STREAM, ()) as observer:
            begun(observer)(of_batch(in_batch(4)))
        for _ in seen.telling(batches_older_than_seconds=60.0):
            pass
        assert spans.unended() == ["voiceflow.batch"]
        seen.tell()
        assert spans.unended() == []


def test_a_hop_computed_twice_links_the_call_that_counted() -> None:
    """Its first model failed: there are two infer spans, and the batch is that of the last."""
    failed, batch = in_batch(1), in_batch(1)
    times = HopTimes(failed.taken_ns - 5, 1280, model_version=VERSION, batch=failed)
    times.mark_computed(failed.inferred_ns)
    times.batch = BatchTimes(
        1, failed.taken_ns + 100, batch.gathered_ns + 100, batch.inferred_ns + 100, 0
    )
    times.mark_computed(times.batch.inferred_ns + 1)
    seen = observing()
    with recorded() as spans:
        with seen.call(StreamKind.STREAM, ()) as observer:
            begun(observer)(times)
        seen.tell()
    infers = spans.named("voiceflow.hop.infer")
    assert [len(span.links) for span in infers] == [0, 1]


def test_a_hop_over_the_objective_is_traced_whatever_the_share() -> None:
    """With no share at all, the slow one is there and the others are not."""
    with recorded() as spans, told(observing(0.0, 0.1)) as observer:
        on_hop = begun(observer)
        on_hop(hop(SECOND))
        on_hop(hop(2 * SECOND, total_ns=101 * MILLISECOND))
        on_hop(hop(3 * SECOND))
    assert attributes(one(spans, "voiceflow.hop"))["voiceflow.hop.audio_end_seconds"] == 2.0


def test_histograms_do_not_know_which_hops_are_traced() -> None:
    """A hop that is kept for being slow has no more weight there than any other, nor its stages."""
    version = "models/observed/versions/2.0.0"
    names = ("voiceflow.hop.duration", "voiceflow.hop.stage.duration")
    before = [histogram_count(name, version=version) for name in names]
    with told(observing(0.0, 0.1)) as observer:
        on_hop = begun(observer)
        on_hop(hop(total_ns=200 * MILLISECOND, version=version))
        on_hop(hop(total_ns=MILLISECOND, version=version))
    after = [histogram_count(name, version=version) for name in names]
    assert after == [before[0] + 2, before[1] + 2 * len(Stage)]


def test_however_many_hops_there_are_some_a_second_are_measured_and_all_are_counted() -> None:
    """Ten thousand in five seconds: a few hundred values, and a count that is exact."""
    version = "models/observed/versions/3.0.0"
    counted("voiceflow.hops")
    measured = histogram_count("voiceflow.hop.duration", version=version)
    seen = observing(0.0)
    with seen.call(StreamKind.STREAM, ()) as observer:
        on_hop = begun(observer)
        for number in range(10_000):
            on_hop(hop(started_ns=(1 + number) * MILLISECOND // 2, version=version))
    assert counted("voiceflow.hops", version=version) == 0
    seen.tell()
    seen.tell()
    assert counted("voiceflow.hops", version=version, urgency="live") == 10_000
    assert 12 <= histogram_count("voiceflow.hop.duration", version=version) - measured <= 60


def test_a_service_that_is_late_is_not_held_up_by_telling_of_it() -> None:
    """Where every hop takes too long, some a second are traced; what was drawn always is."""
    with recorded() as spans, told(observing(0.0, 0.001)) as observer:
        on_hop = begun(observer)
        for number in range(1, 2001):
            on_hop(hop(number * 1280, started_ns=number * MILLISECOND))
    assert 2 <= len(spans.named("voiceflow.hop")) <= 12
    with recorded() as spans, told(observing(1.0, 0.001)) as observer:
        on_hop = begun(observer)
        for number in range(1, 201):
            on_hop(hop(number * 1280, started_ns=number * MILLISECOND))
    assert len(spans.named("voiceflow.hop")) == 200


def test_every_hop_is_counted_under_the_version_that_computed_it() -> None:
    """A stream that moves is counted where it is."""
    seen = observing(0.0)
    counted("voiceflow.hops")
    before = counted("voiceflow.hops", version=OTHER, urgency="live")
    with seen.call(StreamKind.STREAM, ()) as observer:
        on_hop = begun(observer)
        assert seen.streams() == [(1, {"version": VERSION, "kind": "stream"})]
        on_hop(hop(version=OTHER))
        assert seen.streams() == [(1, {"version": OTHER, "kind": "stream"})]
    assert seen.streams() == []
    seen.tell()
    assert counted("voiceflow.hops", version=OTHER, urgency="live") == before + 1


@pytest.mark.parametrize(
    ("error", "outcome", "status"),
    [
        (asyncio.CancelledError(), "CANCELLED", StatusCode.UNSET),
        (grpc.aio.UsageError("gone"), "CANCELLED", StatusCode.UNSET),
        (NotFound("no", reason="MODEL_UNKNOWN"), "MODEL_UNKNOWN", StatusCode.ERROR),
        (RuntimeError("a secret"), "INTERNAL", StatusCode.ERROR),
    ],
)
@pytest.mark.parametrize("is_in", [False, True])
def test_however_a_stream_ends_its_spans_do(
    error: BaseException, outcome: str, status: StatusCode, is_in: bool
) -> None:
    """Refused, cancelled or failed: the last span says so, in a word, and no text of the error."""
    with recorded() as spans:
        with pytest.raises(type(error)):
            fail(observing(), error, is_in=is_in)
        assert spans.unended() == []
    names = (
        ["voiceflow.stream.begin", "voiceflow.stream.end"] if is_in else ["voiceflow.stream.begin"]
    )
    assert [span.name for span in spans.ended] == names
    last = spans.ended[-1]
    assert attributes(last)["voiceflow.outcome"] == outcome
    assert last.status.status_code is status
    assert "secret" not in last.to_json()


def test_who_is_not_let_in_is_counted_by_the_reason() -> None:
    """Once for each call, and no stream is."""
    counted("voiceflow.refusals")
    before = counted("voiceflow.refusals", reason="STREAMS_FULL")
    seen = observing()
    with pytest.raises(Overloaded), seen.call(StreamKind.STREAM, ()):
        raise Overloaded("full", reason="STREAMS_FULL", retry_after_seconds=1.0)
    with pytest.raises(NotFound):
        fail(seen, NotFound("later", reason="STREAMS_FULL"), is_in=True)
    assert counted("voiceflow.refusals", reason="STREAMS_FULL") == before + 1
    assert seen.streams() == []


def test_off_means_that_nothing_is_done_for_a_hop() -> None:
    """What a conversation calls is the function that does nothing."""
    with recorded() as spans, told(observing(on=False)) as observer:
        on_hop = begun(observer)
        on_hop(hop(total_ns=10**10))
        assert on_hop.__name__ == "_nothing"
    assert spans.named("voiceflow.hop") == []


def test_nothing_of_what_is_heard_is_told() -> None:
    """Attributes of spans are these, and no others: no audio, no names, no text."""
    seen = observing()
    with recorded() as spans:
        with seen.call(StreamKind.FILE, CLIENT) as observer:
            begun(observer)(of_batch(in_batch(1)))
        seen.tell()
    told = {key for span in spans.ended for key in attributes(span)}
    assert told == {
        "voiceflow.kind",
        "voiceflow.pod",
        "voiceflow.session",
        "voiceflow.latency_mode",
        "voiceflow.model.version",
        "voiceflow.generation",
        "voiceflow.hop.audio_end_seconds",
        "voiceflow.hop.request",
        "voiceflow.hop.drawn",
        "voiceflow.batch.size",
        "voiceflow.outcome",
    }


@given(st.text(max_size=40), st.integers(0, 2**40))
def test_drawing_is_the_same_wherever_it_is_done(session: str, at: int) -> None:
    """All hops with a share of one, none with none, and more with more."""
    assert is_drawn(session, at, 1.0)
    assert not is_drawn(session, at, 0.0)
    assert is_drawn(session, at, 0.3) <= is_drawn(session, at, 0.6)
    assert is_drawn(session, at, 0.3) == is_drawn(session, at, 0.3)


def test_a_share_is_what_is_drawn() -> None:
    """Of each of ten streams' thousand hops about a tenth, not the same places in each."""
    drawn = [{at for at in range(1000) if is_drawn(f"session-{n}", at, 0.1)} for n in range(10)]
    assert all(60 < len(places) < 140 for places in drawn)
    assert len(set.intersection(*drawn)) == 0


def test_a_stream_that_keeps_up_has_no_lag_but_its_latency() -> None:
    """Audio at its own pace, each hop answered 10 ms after it was complete."""
    lag = Lag()
    for number in range(1, 50):
        end = number * 1280
        assert lag.after(hop(end, started_ns=end * 62_500)) == pytest.approx(0.01)


def test_a_stream_that_falls_behind_lags_more_and_more() -> None:
    """Each hop of 80 ms takes 100 ms, and waits for the one before it."""
    lag = Lag()
    said = [
        lag.after(hop(n * 1280, started_ns=n * 100 * MILLISECOND, total_ns=100 * MILLISECOND))
        for n in range(1, 50)
    ]
    assert said == sorted(said)
    assert said[-1] == pytest.approx(0.1 + 48 * 0.02)


def test_a_client_that_pauses_does_not_lag() -> None:
    """For five seconds nothing comes, and nothing is due; then it goes on as before."""
    lag = Lag()
    for number in range(1, 10):
        end = number * 1280
        lag.after(hop(end, started_ns=end * 62_500))
    for number in range(10, 20):
        end = number * 1280
        late_ns = end * 62_500 + 5000 * MILLISECOND
        assert lag.after(hop(end, started_ns=late_ns)) == pytest.approx(0.01)


def test_audio_faster_than_real_time_has_no_lag_but_its_latency() -> None:
    """It comes early; how late its answers are counts from then on."""
    lag = Lag()
    said = [lag.after(hop(n * 1280, started_ns=n * 10 * MILLISECOND)) for n in range(1, 50)]
    assert said == [pytest.approx(0.01)] * len(said)
