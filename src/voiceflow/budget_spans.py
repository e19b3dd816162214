"""Hops out of recorded spans: OTLP requests in JSON, one a line, of servers, clients or both. Pure.

A server's span of a hop and its client's are those of one session, place and request. Where both
were recorded, the network is the client's exchange less the server's hop, and no clocks are
compared; where no client was, the hop is the server's part alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.budget import MeasuredHop
from voiceflow.client.events import Timings
from voiceflow.client.latency import HopClocks, hop_latency
from voiceflow.errors import InvalidInput

Key: TypeAlias = tuple[str, float, int]
"""Session, end of the audio in seconds, request."""


@dataclass(frozen=True, slots=True)
class Since:
    """Since when a version serves.

    Attributes:
        sequence: Of the promotion.
        at: When a pod gave it its streams.
    """

    sequence: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was found in spans.

    Attributes:
        hops: In the order in which their spans were recorded.
        since: The first promotion by which each version was swapped in.
        left_out: Hops of live streams that were kept for being slow alone: with them, nothing
            could be said of hops in general.
    """

    hops: tuple[MeasuredHop, ...]
    since: Mapping[str, Since]
    left_out: int


@dataclass(slots=True)
class _Hop:
    key: Key
    attributes: Mapping[str, Any]
    start_ns: int
    end_ns: int
    parts: dict[str, int] = field(default_factory=dict)


def read_spans(lines: Iterable[str]) -> Recorded:
    """Reads what services and clients have recorded.

    Args:
        lines: Of all files, in any order.

    Raises:
        InvalidInput: SPANS_INVALID: a line is no OTLP request in JSON.
    """
    servers: dict[str, _Hop] = {}
    clients: dict[str, _Hop] = {}
    parts: list[tuple[str, str, int]] = []
    since: dict[str, Since] = {}
    for span in _spans(lines):
        name, start_ns, end_ns = span["name"], span["start"], span["end"]
        attributes = span["attributes"]
        if name in {_SERVER_HOP, _CLIENT_HOP}:
            group = servers if name == _SERVER_HOP else clients
            group[span["id"]] = _Hop(_key(attributes), attributes, start_ns, end_ns)
        elif name.startswith(_PARTS):
            parts.append((span["parent"], name.rpartition(".")[2], end_ns - start_ns))
        elif name == _SWAP:
            _note(since, attributes, end_ns)
    for parent, part, length_ns in parts:
        if (hop := servers.get(parent) or clients.get(parent)) is not None:
            hop.parts[part] = hop.parts.get(part, 0) + length_ns
    live = [hop for hop in servers.values() if hop.attributes.get(_KIND) != "file"]
    drawn = [hop for hop in live if hop.attributes.get(_DRAWN, True)]
    of_client = {hop.key: hop for hop in clients.values()}
    joined = [hop for hop in drawn if hop.key in of_client]
    hops = [_joined(hop, of_client[hop.key]) for hop in joined] or [_alone(hop) for hop in drawn]
    return Recorded(tuple(hops), since, len(live) - len(drawn))


def _alone(server: _Hop) -> MeasuredHop:
    stages = {name: length_ns / 1e9 for name, length_ns in server.parts.items()}
    return MeasuredHop(_version(server), stages, (server.end_ns - server.start_ns) / 1e9)


def _joined(server: _Hop, client: _Hop) -> MeasuredHop:
    stages = tuple((name, length_ns / 1e9) for name, length_ns in server.parts.items())
    encoded_ns = client.start_ns + client.parts.get("encode", 0)
    read_ns = encoded_ns + client.parts.get("exchange", 0)
    latency = hop_latency(
        Timings(round(server.key[1] * SAMPLE_RATE_HERTZ), stages),
        HopClocks(client.start_ns, encoded_ns, read_ns, client.end_ns),
    )
    return MeasuredHop(_version(server), dict(latency.stages), latency.end_to_end_seconds)


def _version(hop: _Hop) -> str:
    return str(hop.attributes.get(_VERSION, ""))


def _key(attributes: Mapping[str, Any]) -> Key:
    return (
        str(attributes.get("voiceflow.session", "")),
        float(attributes.get("voiceflow.hop.audio_end_seconds", 0.0)),
        int(attributes.get("voiceflow.hop.request", 0)),
    )


def _note(since: dict[str, Since], attributes: Mapping[str, Any], end_ns: int) -> None:
    found = Since(
        int(attributes.get("voiceflow.promotion.sequence", 0)),
        datetime.fromtimestamp(end_ns / 1e9, UTC),
    )
    version = str(attributes.get(_VERSION, ""))
    if version not in since or found.at < since[version].at:
        since[version] = found


def _spans(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            request = json.loads(line)
            for resource in request["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    for span in scope["spans"]:
                        yield _read(span)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(
                f"line {number} holds no spans; a line is an OTLP request in JSON",
                reason="SPANS_INVALID",
            ) from error


def _read(span: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": str(span["name"]),
        "id": str(span["spanId"]),
        "parent": str(span.get("parentSpanId", "")),
        "start": int(span["startTimeUnixNano"]),
        "end": int(span["endTimeUnixNano"]),
        "attributes": {one["key"]: _value(one["value"]) for one in span.get("attributes", ())},
    }


def _value(value: Mapping[str, Any]) -> Any:
    """Whole numbers are strings in JSON, as protobuf has it."""
    if "intValue" in value:
        return int(value["intValue"])
    return next(iter(value.values()), None)


_SERVER_HOP: Final = "voiceflow.hop"
_CLIENT_HOP: Final = "voiceflow.client.hop"
_PARTS: Final = ("voiceflow.hop.", "voiceflow.client.")
_SWAP: Final = "voiceflow.model.swap"
_VERSION: Final = "voiceflow.model.version"
_KIND: Final = "voiceflow.kind"
_DRAWN: Final = "voiceflow.hop.drawn"
