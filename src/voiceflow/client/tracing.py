"""Spans of hops, from their client's side; recorded where the process sets OpenTelemetry up.

A hop's server has spans of its own, joined to these by session, place and request. What lies
between them is the network's: `voiceflow.client.exchange` less the server's `voiceflow.hop`.
"""

from __future__ import annotations

from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.client.events import Timings
from voiceflow.client.latency import HopClocks
from voiceflow.telemetry.spans import wall_ns

_TRACER: Final = trace.get_tracer("voiceflow.client")


def tell_hop(session: str, timings: Timings, clocks: HopClocks) -> None:
    """Makes the spans of a hop that is over, in a trace of its own."""
    attributes: dict[str, str | int | float] = {
        "voiceflow.session": session,
        "voiceflow.hop.audio_end_seconds": timings.audio_end_samples / SAMPLE_RATE_HERTZ,
        "voiceflow.hop.request": timings.request,
    }
    hop = _TRACER.start_span(
        "voiceflow.client.hop",
        Context(),
        attributes=attributes,
        start_time=wall_ns(clocks.began_ns),
    )
    within = trace.set_span_in_context(hop, Context())
    for name, start_ns, end_ns in (
        ("encode", clocks.began_ns, clocks.encoded_ns),
        ("exchange", clocks.encoded_ns, clocks.read_ns),
        ("parse", clocks.read_ns, clocks.parsed_ns),
    ):
        part = _TRACER.start_span(f"voiceflow.client.{name}", within, start_time=wall_ns(start_ns))
        part.end(wall_ns(end_ns))
    hop.end(wall_ns(clocks.parsed_ns))
