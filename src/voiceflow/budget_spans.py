"""Hops out of recorded spans: of servers, clients or both. Pure.

A server's span of a hop and its client's are those of one session, place and request. Where both
were recorded, the network is the client's exchange less the server's hop, and no clocks are
compared; where no client was, the hop is the server's part alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.budget import MeasuredHop
from voiceflow.budget_roles import SWAP, Roles
from voiceflow.client.events import Timings
from voiceflow.client.latency import HopClocks, hop_latency
from voiceflow.otlp_json import Span, SpanFile, spans_of

Key: TypeAlias = tuple[str, float, int]
"""Session, end of the audio in seconds, request."""


@dataclass(frozen=True, slots=True)
class TracedHop:
    """A hop of a live stream, with what it is found by.

    Attributes:
        hop: What was measured.
        trace_id: In hexadecimal digits.
        at: When its last byte came.
        session: The conversation's name.
        audio_end_seconds: Where in its audio.
        drawn: By chance; else it was kept for being slow.
    """

    hop: MeasuredHop
    trace_id: str
    at: datetime
    session: str
    audio_end_seconds: float
    drawn: bool


@dataclass(frozen=True, slots=True)
class Left:
    """A process has left a version of its own accord.

    Attributes:
        process: Which.
        version: Which.
        promotion: Number of the one that wanted it; 0: that is not known.
        reason: Why, in a word.
        at: When.
    """

    process: str
    version: str
    promotion: int
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was found in spans.

    Attributes:
        traced: Hops of live streams, in the order in which their spans were recorded.
        hops: Those that say something of hops in general: drawn by chance and, where clients were
            recorded, with their client's part.
        left: Versions that processes have left of their own accord, the first one first.
        notices: What could not be read.
    """

    traced: tuple[TracedHop, ...]
    hops: tuple[MeasuredHop, ...]
    left: tuple[Left, ...]
    notices: tuple[str, ...]

    @property
    def left_out(self) -> int:
        """Hops that were kept for being slow alone: with them, every hop would look slow."""
        return sum(not one.drawn for one in self.traced)


@dataclass(slots=True)
class _Hop:
    span: Span
    key: Key
    parts: dict[str, int] = field(default_factory=dict)


def read_spans(files: Iterable[SpanFile]) -> Recorded:
    """Reads what services and clients have recorded; a span that comes twice counts once.

    Args:
        files: In any order.

    Raises:
        InvalidInput: SPANS_INVALID: a line is no OTLP request in JSON.
    """
    notices: list[str] = []
    spans: dict[tuple[str, str], Span] = {}
    for file in files:
        for span in spans_of(file, notices):
            if span.name in _WHOLE or span.name.startswith(_PARTS):
                spans.setdefault((span.trace_id, span.span_id), span)
    servers, clients = _hops(spans)
    roles = Roles(span for span in spans.values() if span.name == SWAP)
    of_client = {hop.key: hop for hop in clients}
    traced, joined = [], []
    for hop in servers:
        if hop.span.attributes.get("voiceflow.kind") == "file":
            continue
        client = of_client.get(hop.key)
        traced.append(_traced(hop, client, roles))
        if client is not None and traced[-1].drawn:
            joined.append(traced[-1].hop)
    drawn = [one.hop for one in traced if one.drawn]
    left = sorted(
        (_left(span) for span in spans.values() if span.name == _REVERT), key=lambda one: one.at
    )
    return Recorded(tuple(traced), tuple(joined or drawn), tuple(left), tuple(notices))


def _hops(spans: Mapping[tuple[str, str], Span]) -> tuple[list[_Hop], list[_Hop]]:
    """Of servers and of clients, with their parts."""
    hops = {
        ids: _Hop(span, _key(span.attributes))
        for ids, span in spans.items()
        if span.name in {_SERVER_HOP, _CLIENT_HOP}
    }
    for span in spans.values():
        if span.name.startswith(_PARTS):
            hop = hops.get((span.trace_id, span.parent_id))
            if hop is not None:
                part = span.name.rpartition(".")[2]
                hop.parts[part] = hop.parts.get(part, 0) + span.end_ns - span.start_ns
    servers = [hop for hop in hops.values() if hop.span.name == _SERVER_HOP]
    return servers, [hop for hop in hops.values() if hop.span.name == _CLIENT_HOP]


def _traced(server: _Hop, client: _Hop | None, roles: Roles) -> TracedHop:
    span = server.span
    version = str(span.attributes.get(_VERSION, ""))
    stages: Mapping[str, float]
    if client is None:
        stages = {name: length_ns / 1e9 for name, length_ns in server.parts.items()}
        seconds = (span.end_ns - span.start_ns) / 1e9
    else:
        stages, seconds = _joined(server, client)
    period = roles.period(span.process, version, span.start_ns)
    return TracedHop(
        MeasuredHop(version, stages, seconds, period),
        span.trace_id,
        _time(span.start_ns),
        *server.key[:2],
        bool(span.attributes.get("voiceflow.hop.drawn", True)),
    )


def _joined(server: _Hop, client: _Hop) -> tuple[Mapping[str, float], float]:
    stages = tuple((name, length_ns / 1e9) for name, length_ns in server.parts.items())
    start_ns = client.span.start_ns
    encoded_ns = start_ns + client.parts.get("encode", 0)
    read_ns = encoded_ns + client.parts.get("exchange", 0)
    latency = hop_latency(
        Timings(round(server.key[1] * SAMPLE_RATE_HERTZ), stages),
        HopClocks(start_ns, encoded_ns, read_ns, client.span.end_ns),
    )
    return dict(latency.stages), latency.end_to_end_seconds


def _key(attributes: Mapping[str, Any]) -> Key:
    return (
        str(attributes.get("voiceflow.session", "")),
        float(attributes.get("voiceflow.hop.audio_end_seconds", 0.0)),
        int(attributes.get("voiceflow.hop.request", 0)),
    )


def _left(span: Span) -> Left:
    return Left(
        span.process,
        str(span.attributes.get(_VERSION, "")),
        int(span.attributes.get("voiceflow.promotion.sequence", 0)),
        str(span.attributes.get("voiceflow.reason", "")),
        _time(span.start_ns),
    )


def _time(since_epoch_ns: int) -> datetime:
    return datetime.fromtimestamp(since_epoch_ns / 1e9, UTC)


_SERVER_HOP: Final = "voiceflow.hop"
_CLIENT_HOP: Final = "voiceflow.client.hop"
_REVERT: Final = "voiceflow.model.revert"
_WHOLE: Final = frozenset({_SERVER_HOP, _CLIENT_HOP, _REVERT, SWAP})
_PARTS: Final = ("voiceflow.hop.", "voiceflow.client.")
_VERSION: Final = "voiceflow.model.version"
