"""The traces and metrics of a service, as a collector and Prometheus get them from its process."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.service import Service, running_service
from tests.fakes.collector import Collector, Span, collecting
from tests.fakes.models import Spoken, tones, write_stream_package
from tests.fakes.service import FINISH, audio, config, diarize, pcm16, pieces
from tests.faults.streams import Stream, connected, outcome_of
from voiceflow_inference.stages import Stage

PATIENCE_SECONDS = 60
HOP_BYTES = 2 * 7680
HOPS = 8
SPEECH = pcm16(tones(Spoken((3,), HOPS * 0.48)))
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CLIENT = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
STAGES = [f"voiceflow.hop.{stage.value}" for stage in Stage]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """What the service tells."""
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages that are served; more may come."""
    folder = tmp_path_factory.mktemp("packages")
    write_stream_package(folder / "1.0.0", "1.0.0")
    return folder


@pytest.fixture(scope="module")
def observed(collector: Collector, folder: Path) -> Iterator[Service]:
    """A service of whose hops every one is traced, soon after it was answered."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        environment.setenv("OTEL_METRIC_EXPORT_INTERVAL", "200")
        with running_service(
            folder,
            otlp_endpoint=collector.endpoint,
            trace_share=1.0,
            metrics_port=0,
            pod_name="pod-1",
            latency_objective_seconds=60,
        ) as service:
            yield service


def of_session(collector: Collector, name: str, session: str) -> list[Span]:
    """Spans of a name that tell of one session."""
    return [
        span for span in collector.named(name) if span.attributes["voiceflow.session"] == session
    ]


def wait_for_all(collector: Collector) -> None:
    """Waits until every span that another one names has come: nothing is left open."""

    def whole() -> bool:
        spans = collector.spans
        known = {span.span_id for span in spans} | {PARENT, ""}
        named = {span.parent_id for span in spans}
        return named | {linked for span in spans for _, linked in span.links} <= known

    collector.wait_for(whole)


async def test_a_conversation_is_told_as_traces(observed: Service, collector: Collector) -> None:
    """Begin and end under the client's span, and a trace for each hop with all of its stages."""
    session = "conversation"
    requests = [config(session=session), *pieces(SPEECH, HOP_BYTES), FINISH]
    await diarize(observed.address, requests, metadata=CLIENT)

    collector.wait_for(lambda: bool(of_session(collector, "voiceflow.stream.end", session)))
    collector.wait_for(lambda: len(of_session(collector, "voiceflow.hop", session)) >= HOPS)
    wait_for_all(collector)
    (begin,) = of_session(collector, "voiceflow.stream.begin", session)
    (end,) = of_session(collector, "voiceflow.stream.end", session)
    for span in (begin, end):
        assert (span.trace_id, span.parent_id) == (TRACE, PARENT)
        assert span.attributes["voiceflow.pod"] == "pod-1"
    assert end.links == (begin.own,)
    assert end.attributes["voiceflow.outcome"] == "OK"
    hops = of_session(collector, "voiceflow.hop", session)
    ends = [hop.attributes["voiceflow.hop.audio_end_seconds"] for hop in hops]
    assert sorted(set(ends)) == pytest.approx([0.48 * n for n in range(1, HOPS + 1)])
    for hop in hops:
        assert (hop.parent_id, hop.links) == ("", (begin.own,))
        stages = [span for span in collector.spans if span.parent_id == hop.span_id]
        stages.sort(key=lambda span: (span.start_ns, span.end_ns))
        assert [span.name for span in stages] == STAGES
        # They fill it, from its begin to its end.
        assert [span.start_ns for span in stages[1:]] == [span.end_ns for span in stages[:-1]]
        assert (stages[0].start_ns, stages[-1].end_ns) == (hop.start_ns, hop.end_ns)
    calls = {call.own: call for call in collector.named("voiceflow.batch")}
    infers = of_hops(collector.named("voiceflow.hop.infer"), hops)
    assert len(infers) == len(hops)
    for infer in infers:
        (call,) = infer.links
        assert infer.own in calls[call].links
        assert infer.attributes["voiceflow.batch.size"] >= 1


def of_hops(spans: list[Span], hops: list[Span]) -> list[Span]:
    """Those that belong to the traces of hops."""
    traces = {hop.trace_id for hop in hops}
    return [span for span in spans if span.trace_id in traces]


async def test_a_stream_that_is_cancelled_leaves_nothing_open(
    observed: Service, collector: Collector
) -> None:
    """Its end says so; what was begun for it has come, too."""
    session = "cancelled"
    async with connected(observed.address) as channel:
        stream = Stream(channel, metadata=CLIENT)
        await stream.send(config(session=session), audio(SPEECH[: 3 * HOP_BYTES]))
        await stream.covered(0.9)
        stream.call.cancel()
    collector.wait_for(lambda: bool(of_session(collector, "voiceflow.stream.end", session)))
    (end,) = of_session(collector, "voiceflow.stream.end", session)
    assert (end.attributes["voiceflow.outcome"], end.status) == ("CANCELLED", "UNSET")
    wait_for_all(collector)


def test_a_client_that_is_killed_leaves_nothing_open(
    observed: Service, collector: Collector
) -> None:
    """Its stream ends when its connection does."""
    before = len(collector.named("voiceflow.stream.end"))
    command = [sys.executable, "-m", "tests.faults.client_process", observed.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "began\n"
        client.kill()
    ends = collector.wait_for_spans("voiceflow.stream.end", before + 1)
    assert ends[-1].attributes["voiceflow.outcome"] == "CANCELLED"
    wait_for_all(collector)


async def test_who_is_refused_is_told_of(observed: Service, collector: Collector) -> None:
    """A stream that never began has one span, with the reason, under the client's."""
    async with connected(observed.address) as channel:
        stream = Stream(channel, metadata=CLIENT)
        await stream.send(audio(b"\0\0"))
        assert (await stream.refusal()).reason == "CONFIG_MISSING"
    collector.wait_for(lambda: bool(refused(collector)))
    (begin,) = refused(collector)
    assert (begin.trace_id, begin.parent_id, begin.status) == (TRACE, PARENT, "ERROR")


def refused(collector: Collector) -> list[Span]:
    """Streams that did not begin."""
    return [
        span
        for span in collector.named("voiceflow.stream.begin")
        if span.attributes.get("voiceflow.outcome") == "CONFIG_MISSING"
    ]


async def test_a_reload_is_one_trace_with_every_step(
    observed: Service, collector: Collector, folder: Path, tmp_path: Path
) -> None:
    """Download, verify, warm, match, swap and the drain of the one before, in their order."""
    async with connected(observed.address) as channel:
        stream = Stream(channel)
        await stream.send(config(session="stays"), audio(SPEECH[: 3 * HOP_BYTES]))
        await stream.covered(0.9)
        write_stream_package(tmp_path / "1.1.0", "1.1.0").rename(folder / "1.1.0")
        collector.wait_for_spans("voiceflow.model.swap", 2)
        await stream.send(FINISH)
        assert (await stream.outcome()).complete
    (drain,) = collector.wait_for_spans("voiceflow.model.drain")
    steps = [
        span
        for span in collector.spans
        if span.trace_id == drain.trace_id and span.name != "voiceflow.model.reload"
    ]
    assert [step.name.rpartition(".")[2] for step in sorted(steps, key=lambda one: one.end_ns)] == [
        *("download", "verify", "warm", "match", "swap", "drain")
    ]
    (root,) = {step.parent_id for step in steps}
    (begun,) = [span for span in collector.spans if span.span_id == root]
    assert (begun.name, begun.parent_id) == ("voiceflow.model.reload", "")
    versions = [step.attributes["voiceflow.model.version"].rpartition("/")[2] for step in steps]
    assert versions == ["1.1.0"] * 5 + ["1.0.0"]
    wait_for_all(collector)


async def test_prometheus_and_the_collector_are_told_the_same(
    observed: Service, collector: Collector
) -> None:
    """Streams, hops, stages and generations, under the names that dashboards use."""
    await diarize(observed.address, [config(), *pieces(SPEECH, HOP_BYTES), FINISH])
    (at,) = re.findall(r"metrics are served at (\S+)", observed.log.read_text("utf-8"))
    page = await asyncio.to_thread(page_of, f"http://{at}/metrics")
    names = set(re.findall(r"^(voiceflow_\w+)[{ ]", page, re.MULTILINE))
    assert names >= {
        "voiceflow_hops_total",
        "voiceflow_hop_duration_seconds_bucket",
        "voiceflow_hop_stage_duration_seconds_bucket",
        "voiceflow_stream_lag_seconds_bucket",
        "voiceflow_batch_size_bucket",
        "voiceflow_capacity_streams",
        "voiceflow_queue_hops",
        "voiceflow_queue_age_seconds",
        "voiceflow_generation_state",
        "voiceflow_swaps_total",
    }
    assert re.search(r'voiceflow_hops_total\{urgency="live",version="models/tones/', page)
    assert "process_resident_memory_bytes" in page
    await asyncio.to_thread(
        collector.wait_for, lambda: "voiceflow.generation.state" in collector.metric_names()
    )
    assert collector.metric_names() >= {"voiceflow.hops", "voiceflow.hop.duration"}
    await asyncio.to_thread(collector.wait_for, lambda: bool(exemplars(collector)))
    assert exemplars(collector) <= {span.trace_id for span in collector.named("voiceflow.hop")}


def exemplars(collector: Collector) -> set[str]:
    """Traces that a latency of hops leads to."""
    points = collector.points("voiceflow.hop.duration").values()
    return {trace for point in points for trace in point.exemplars}


def page_of(url: str) -> str:
    """What Prometheus would read."""
    with urllib.request.urlopen(url) as answer:  # noqa: S310 our own
        page: str = answer.read().decode()
    return page


async def test_a_collector_that_never_answers_holds_up_no_stream(stream_package: Path) -> None:
    """Streams are answered as ever while it is silent, and the service ends in its time."""
    requests = [config(), *pieces(SPEECH, HOP_BYTES), FINISH]
    with pytest.MonkeyPatch.context() as environment, collecting(answers=False) as collector:
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        environment.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20")
        environment.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
        with running_service(
            stream_package, otlp_endpoint=collector.endpoint, trace_share=1.0
        ) as service:
            first = outcome_of(await diarize(service.address, requests))
            collector.wait_for(lambda: collector.calls > 0)
            # The queue is full by now: what follows is dropped, and nobody waits for it.
            for _ in range(3):
                assert outcome_of(await diarize(service.address, requests)) == first
            assert first.complete
            service.process.terminate()
            assert service.process.wait(PATIENCE_SECONDS) == 0
        assert collector.spans == []
