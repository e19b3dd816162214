"""What a registry tells of itself: traces of its callers, counts, and gauges."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

from tests.fakes.memory_store import MemoryStore
from tests.fakes.metrics import counted, histogram_count, told
from tests.fakes.publishing import ScriptedGates, finding, package
from tests.fakes.registry import begin, call, eventually, failure, promotion, publish, running
from tests.fakes.spans import Recorded, recorded
from voiceflow.catalog.channels import ChannelCursor, Promotion
from voiceflow.catalog.gates import Gate
from voiceflow.catalog.names import ChannelName
from voiceflow.client.registry import RegistryClient
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.telemetry.context import trace_parent

STABLE = ChannelName("tones", "stable")
ONE, TWO = package("1.0.0"), package("1.1.0", weights=b"other")
REMOTE = f"00-{'a' * 32}-{'b' * 16}-01"
SERVICE = "voiceflow.registry.v1.ModelRegistry"


def only(spans: Recorded, name: str, **attributes: str) -> ReadableSpan:
    """The one span of a name that has these attributes."""
    (found,) = [
        span for span in spans.named(name) if attributes.items() <= (span.attributes or {}).items()
    ]
    return found


async def settled(spans: Recorded) -> None:
    """Waits until every span that has begun has ended: those of calls do after their answers."""
    await eventually(lambda: so(spans.begun and not spans.unended()))


async def so(fact: object) -> bool:
    """For `eventually`."""
    return bool(fact)


def trace_of(span: ReadableSpan) -> str:
    """The trace that it belongs to, in hex."""
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}"


def parent_of(span: ReadableSpan) -> str:
    """The id of a span's parent, in hex."""
    assert span.parent is not None
    return f"{span.parent.span_id:016x}"


def id_of(span: ReadableSpan) -> str:
    """A span's own, in hex."""
    context = span.get_span_context()
    assert context is not None
    return f"{context.span_id:016x}"


async def test_a_promotion_is_one_trace_from_its_caller_to_the_store_and_every_watcher() -> None:
    """Caller, call, promotion, commit; and a delivery for each watcher under the promotion."""
    watchers = 2
    async with running() as (app, registry), RegistryClient(app.server.address) as client:
        await publish(registry, ONE)
        await publish(registry, TWO)
        await client.promote(STABLE, str(ONE.name))

        async def follow(told: asyncio.Event) -> Promotion:
            async for event in client.watch([ChannelCursor(channel=str(STABLE))]):
                if isinstance(event, Promotion) and event.sequence == 2:
                    return event
                told.set()
            raise AssertionError("the watch ended")

        found = [asyncio.Event() for _ in range(watchers)]
        with recorded() as spans:
            following = [asyncio.create_task(follow(one)) for one in found]
            await asyncio.gather(*(one.wait() for one in found))
            assert spans.named("voiceflow.watch.deliver") == [], "what stood there is no news"
            with trace.get_tracer("test").start_as_current_span("command") as root:
                _, made = await client.promote(STABLE, str(TWO.name))
            events = await asyncio.gather(*following)
            await eventually(lambda: so(len(spans.named("voiceflow.watch.deliver")) == watchers))
            await settled(spans)

        committed = only(spans, "voiceflow.promote")
        trace_id = f"{root.get_span_context().trace_id:032x}"
        # That of the call before may end only now: it ends after its answer.
        calls = spans.named(f"{SERVICE}/PromoteVersion")
        (rpc,) = [span for span in calls if trace_of(span) == trace_id]
        history = "history/tones/stable/00000000000000000002.json"
        stored = only(spans, "voiceflow.storage.put", **{"voiceflow.storage.key": history})
        deliveries = spans.named("voiceflow.watch.deliver")
        of_one_trace = [committed, rpc, stored, *deliveries]
        assert {trace_of(span) for span in of_one_trace} == {trace_id}
        assert parent_of(rpc) == f"{root.get_span_context().span_id:016x}"
        assert parent_of(committed) == id_of(rpc)
        assert parent_of(stored) == id_of(committed)
        assert [parent_of(span) for span in deliveries] == [id_of(committed)] * watchers
        assert made.trace_parent[:-3] == f"00-{trace_id}-{id_of(committed)}"
        assert {event.trace_parent for event in events} == {made.trace_parent}
        assert committed.attributes is not None
        assert committed.attributes["voiceflow.promotion.sequence"] == 2
        assert committed.attributes["voiceflow.validate_only"] is False
        assert committed.attributes["voiceflow.model.version"] == str(TWO.name)
        assert rpc.attributes is not None
        assert rpc.attributes["voiceflow.resource"] == str(STABLE)


async def test_the_record_keeps_the_trace_and_the_signed_statement_does_not() -> None:
    """A retry, another replica and the history tell the same; what is signed says nothing of it."""
    store, request_id = MemoryStore(), "00000000-0000-4000-8000-000000000001"
    wish = {"request_id": request_id, "reason": "why"}
    async with running(store) as (_, registry):
        await publish(registry, ONE)
        with recorded():
            first = await registry.PromoteVersion(
                promotion(str(STABLE), str(ONE.name), **wish), metadata=[("traceparent", REMOTE)]
            )
    kept = first.promotion.trace_parent
    assert kept[:36] == REMOTE[:36], "the caller's trace"
    assert kept[36:52] != REMOTE[36:52], "the registry's own span in it"
    assert "trace" not in json.loads(first.promotion.statement)
    assert kept.encode() not in first.promotion.statement
    async with running(store) as (_, registry):
        with recorded():
            again = await call(
                registry.PromoteVersion, promotion(str(STABLE), str(ONE.name), **wish)
            )
        listed = await call(
            registry.ListChannelHistory, pb.ListChannelHistoryRequest(parent=str(STABLE))
        )
    assert again.promotion == first.promotion
    assert [one.trace_parent for one in listed.promotions] == [kept]


@pytest.mark.parametrize(
    "hostile",
    ["", "x" * 55, "0" * 8000, f"00-{'0' * 32}-{'0' * 16}-01", REMOTE.replace("00-", "ff-")],
)
async def test_a_hostile_trace_context_is_as_if_none_had_come(hostile: str) -> None:
    """The promotion is made, and what is kept of its trace is the registry's own."""
    async with running() as (_, registry):
        await publish(registry, ONE)
        with recorded() as spans:
            made = await registry.PromoteVersion(
                promotion(str(STABLE), str(ONE.name)), metadata=[("traceparent", hostile)]
            )
            await settled(spans)
            rpc = only(spans, f"{SERVICE}/PromoteVersion")
    assert rpc.parent is None
    assert len(made.promotion.trace_parent) == 55
    assert trace_of(rpc) in made.promotion.trace_parent


async def test_what_the_registry_reads_by_itself_belongs_to_no_trace() -> None:
    """A feed outlives the watcher that came first: its looks are none of that one's spans."""
    async with running(poll_seconds=0.01) as (app, registry):
        await publish(registry, ONE)
        await call(registry.PromoteVersion, promotion(str(STABLE), str(ONE.name)))
        looked = counted_looks()
        with recorded() as spans:
            with trace.get_tracer("test").start_as_current_span("watcher"):
                watching = registry.WatchChannels(
                    pb.WatchChannelsRequest(channels=[pb.ChannelCursor(channel=str(STABLE))]),
                    metadata=[("traceparent", trace_parent())],
                )
                await watching.read()
            await eventually(lambda: so(counted_looks() > looked + 5))
            assert [span.name for span in spans.begun] == ["watcher"]
            watching.cancel()
    assert app.acts.hub.watching == 0


def counted_looks() -> int:
    """How often the store was asked whether something is there."""
    return histogram_count("voiceflow.storage.duration", operation="get") + histogram_count(
        "voiceflow.storage.duration", operation="get", outcome="missing"
    )


async def test_each_gate_is_a_span_of_its_run_with_what_it_found() -> None:
    """A gate that fails says by which rules; the run goes on, and all of them are counted."""
    gates = ScriptedGates(failing={Gate.BEHAVIOUR: finding("behaviour.not-finite")})
    async with running(gates=gates) as (_, registry):
        await publish(registry, ONE)
        failed = counted("voiceflow.gate.results", gate="behaviour", outcome="failed")
        measured = histogram_count("voiceflow.gate.duration", gate="graph")
        with recorded() as spans:
            asked = [pb.GATE_GRAPH, pb.GATE_BEHAVIOUR]
            await call(
                registry.ValidateVersion,
                pb.ValidateVersionRequest(name=str(ONE.name), gates=asked),
            )
            await settled(spans)
            rpc = only(spans, f"{SERVICE}/ValidateVersion")
            graph, behaviour = spans.named("voiceflow.gate")
    assert graph.attributes == {"voiceflow.gate": "graph", "voiceflow.gate.outcome": "passed"}
    assert behaviour.attributes == {
        "voiceflow.gate": "behaviour",
        "voiceflow.gate.outcome": "failed",
        "voiceflow.gate.findings": ("behaviour.not-finite",),
    }
    assert {parent_of(graph), parent_of(behaviour)} == {id_of(rpc)}
    assert (graph.status.is_ok, behaviour.status.is_ok) == (True, False)
    assert counted("voiceflow.gate.results", gate="behaviour", outcome="failed") == failed + 1
    assert histogram_count("voiceflow.gate.duration", gate="graph") == measured + 1


async def test_a_publish_is_a_span_over_its_gates_and_counts_by_its_outcome() -> None:
    """Published, there before, only checked, refused, cut off: each counts once."""
    gates = ScriptedGates()

    def count(outcome: str) -> float:
        return counted("voiceflow.publishes", outcome=outcome)

    words = ("published", "already_published", "checked", "GATES_NOT_PASSED", "CANCELLED")
    before = {word: count(word) for word in words}
    async with running(gates=gates) as (_, registry):
        with recorded() as spans:
            await publish(registry, ONE)
            await settled(spans)
            published = only(spans, "voiceflow.publish")
            rpc = only(spans, f"{SERVICE}/PublishVersion")
            found = spans.named("voiceflow.gate")
        await publish(registry, ONE)
        await publish(registry, TWO, validate_only=True)
        gates.failing[Gate.GRAPH] = finding("graph.too-large")
        await failure(registry.PublishVersion, [begin(TWO)])  # unlike the others, incomplete
        with pytest.raises(grpc.aio.AioRpcError):
            await publish(registry, TWO)
        with recorded() as cut:
            upload = registry.PublishVersion()
            await upload.write(begin(TWO))
            await upload.initial_metadata()
            upload.cancel()
            await settled(cut)
    assert parent_of(published) == id_of(rpc)
    assert {parent_of(gate) for gate in found} == {id_of(published)}
    assert (published.attributes or {})["voiceflow.publish.outcome"] == "published"
    assert (published.attributes or {})["voiceflow.resource"] == str(ONE.name)
    assert {word: count(word) - before[word] for word in words} == dict.fromkeys(words, 1)


async def test_promotions_and_deliveries_are_counted_once_each() -> None:
    """A retry that is answered with what stands commits nothing, and does not count."""
    async with running() as (app, registry), RegistryClient(app.server.address) as client:
        await publish(registry, ONE)
        of: dict[str, Any] = {"model": "tones", "channel": "counted", "kind": "promote"}
        name, before = ChannelName("tones", "counted"), counted("voiceflow.promotions", **of)
        request_id = "00000000-0000-4000-8000-000000000002"
        for _ in range(2):
            await client.promote(name, str(ONE.name), etag="", request_id=request_id)
        assert counted("voiceflow.promotions", **of) == before + 1


async def test_gauges_tell_how_far_channels_are_and_who_follows() -> None:
    """As somebody reads them; a registry that has stopped tells nothing."""
    channel = str(ChannelName("tones", "gauged"))
    of = {"model": "tones", "channel": "gauged"}
    async with running() as (_, registry):
        await publish(registry, ONE)
        await call(registry.PromoteVersion, promotion(channel, str(ONE.name)))
        for number, serving in enumerate((1, 1, 0)):
            pod = pb.Pod(
                name=f"pods/gauged-{number}",
                channel=channel,
                desired_sequence=1,
                serving_sequence=serving,
                start_time=Timestamp(seconds=1_700_000_000),
            )
            await call(registry.ReportServing, pb.ReportServingRequest(pod=pod, report_number=1))
        await eventually(lambda: so(told("voiceflow.pods", **of, converged="yes") == [2]))
        assert told("voiceflow.pods", **of, converged="no") == [1]
        assert told("voiceflow.channel.sequence", **of) == [1]
        watching = registry.WatchChannels(
            pb.WatchChannelsRequest(channels=[pb.ChannelCursor(channel=channel)])
        )
        await watching.read()
        assert told("voiceflow.watchers") == [1]
        watching.cancel()
        await eventually(lambda: so(told("voiceflow.watchers") == [0]))
    assert told("voiceflow.channel.sequence", **of) == []
    assert told("voiceflow.watchers") == []
