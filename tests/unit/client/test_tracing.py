"""A hop's client has spans of it, in a trace of its own."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from voiceflow.client import Timings, tracing
from voiceflow.client.latency import HopClocks


def test_a_hop_is_told_in_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as long as the clocks say, and found again by session and place."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    monkeypatch.setattr(tracing, "_TRACER", tracer)
    with tracer.start_as_current_span("caller"):
        tracing.tell_hop("meeting", Timings(8000, (), 7), HopClocks(10, 12, 50, 51))
    *parts, hop, caller = exporter.get_finished_spans()
    assert hop.name == "voiceflow.client.hop"
    assert dict(hop.attributes or {}) == {
        "voiceflow.session": "meeting",
        "voiceflow.hop.audio_end_seconds": 0.5,
        "voiceflow.hop.request": 7,
    }
    assert hop.parent is None
    assert hop.context.trace_id != caller.context.trace_id
    assert [part.name.rpartition(".")[2] for part in parts] == ["encode", "exchange", "parse"]
    ends = [hop.start_time]
    for part in parts:
        assert part.parent is not None
        assert part.parent.span_id == hop.context.span_id
        assert part.start_time == ends[-1]
        ends.append(part.end_time)
    assert ends[-1] == hop.end_time
    assert [end - ends[0] for end in ends if end and ends[0]] == [0, 2, 40, 41]
    provider.shutdown()
