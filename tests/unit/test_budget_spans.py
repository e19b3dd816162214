"""Hops are found in recorded spans, of servers alone or with those of their clients."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import pytest

from voiceflow.budget_spans import read_spans
from voiceflow.errors import InvalidInput

VERSION = "models/m/versions/1.0.0"
EPOCH_NS = 1_800_000_000_000_000_000
MS = 1_000_000
_IDS = itertools.count(1)


def span(
    name: str, start_ms: float, length_ms: float, parent: str = "", **attributes: Any
) -> dict[str, Any]:
    """A span as OTLP has it in JSON: whole numbers are strings."""
    told = []
    for key, value in attributes.items():
        kind = {bool: "boolValue", int: "intValue", float: "doubleValue"}.get(type(value))
        told.append(
            {
                "key": f"voiceflow.{key.replace('__', '.')}",
                "value": {kind or "stringValue": str(value) if kind == "intValue" else value},
            }
        )
    start = EPOCH_NS + round(start_ms * MS)
    return {
        "name": name,
        "spanId": f"{next(_IDS):016x}",
        "parentSpanId": parent,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + round(length_ms * MS)),
        "attributes": told,
    }


def hop(
    name: str, start_ms: float, parts: Mapping[str, float], **more: Any
) -> list[dict[str, Any]]:
    """A hop and its parts, one after the other."""
    key: dict[str, Any] = {"session": "s", "hop__audio_end_seconds": 0.48, "hop__request": 3}
    whole = span(name, start_ms, sum(parts.values()), **key | more)
    spans = []
    for part, length_ms in parts.items():
        spans.append(span(part, start_ms, length_ms, whole["spanId"]))
        start_ms += length_ms
    return [*spans, whole]  # children end first


def of_server(**more: Any) -> list[dict[str, Any]]:
    """10 ms, by a clock of its own."""
    parts = {f"voiceflow.hop.{name}": ms for name, ms in (("queue", 2), ("infer", 7), ("send", 1))}
    return hop("voiceflow.hop", 5_000_000, parts, model__version=VERSION, **more)


def of_client(exchange_ms: float = 14, **more: Any) -> list[dict[str, Any]]:
    """3 ms and the exchange."""
    names = (("encode", 1), ("exchange", exchange_ms), ("parse", 2))
    return hop("voiceflow.client.hop", 0, {f"voiceflow.client.{n}": ms for n, ms in names}, **more)


def line(spans: list[dict[str, Any]]) -> str:
    """One request."""
    return json.dumps({"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": spans}]}]})


def test_a_server_alone_tells_its_part() -> None:
    """From reading the request until the transport took the last reply."""
    (found,) = read_spans([line(of_server())]).hops
    assert found.version == VERSION
    assert found.stages == {"queue": 0.002, "infer": 0.007, "send": 0.001}
    assert found.end_to_end_seconds == 0.010


def test_a_client_beside_it_tells_the_rest() -> None:
    """The network is what the exchange took without the server; whose clock is ahead is all one."""
    (found,) = read_spans([line(of_client()), line(of_server())]).hops
    in_ms = {name: round(seconds * 1e3, 6) for name, seconds in found.stages.items()}
    assert in_ms == {
        "client encode": 1,
        "network": 4,
        "queue": 2,
        "infer": 7,
        "send": 1,
        "client parse": 2,
    }
    assert found.end_to_end_seconds == pytest.approx(0.017)
    assert found.adds_up


@pytest.mark.parametrize(
    "other", [{"session": "t"}, {"hop__audio_end_seconds": 0.96}, {"hop__request": 4}]
)
def test_hops_are_joined_where_all_is_one(other: dict[str, Any]) -> None:
    """Session, place and request; a hop that was computed once more is another one."""
    spans = of_server() + of_server(**other) + of_client(**other)
    (found,) = read_spans([line(spans)]).hops
    assert "network" in found.stages
    assert len(read_spans([line(of_server() + of_client(**other))]).hops) == 1


def test_hops_kept_for_being_slow_are_left_out() -> None:
    """They would make all hops look slow; it is told how many they are."""
    spans = of_server(hop__drawn=True) + of_server(hop__drawn=False, session="t")
    found = read_spans([line(spans)])
    assert (len(found.hops), found.left_out) == (1, 1)


def test_recordings_are_left_out() -> None:
    """Nobody waits for their hops."""
    found = read_spans([line(of_server(kind="file") + of_server(session="t", kind="stream"))])
    assert (len(found.hops), found.left_out) == (1, 0)


def test_a_stage_that_comes_twice_is_added_up() -> None:
    """A hop that was computed twice, because its first model failed."""
    spans = of_server()
    spans.insert(0, span("voiceflow.hop.infer", 0, 5, spans[-1]["spanId"]))
    (found,) = read_spans([line(spans)]).hops
    assert found.stages["infer"] == 0.012


def test_a_version_serves_since_it_was_first_swapped_in() -> None:
    """By which promotion, and when: later ones may change its percentages."""
    swaps = [
        span("voiceflow.model.swap", at, 1, model__version=VERSION, promotion__sequence=sequence)
        for at, sequence in ((9_000, 8), (1_000, 7))
    ]
    since = read_spans([line(swaps)]).since[VERSION]
    assert since.sequence == 7
    assert since.at.timestamp() == pytest.approx(EPOCH_NS / 1e9 + 1.001)


@pytest.mark.parametrize(
    "bad",
    [
        "{",
        "[]",
        "{}",
        '{"resourceSpans": 1}',
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "x"}]}]}]}',
        '{"resourceSpans": [{"scopeSpans": [{"spans": [7]}]}]}',
    ],
)
def test_what_are_no_spans_are_refused(bad: str) -> None:
    """With the number of the line, and nothing of what stands in it."""
    with pytest.raises(InvalidInput) as caught:
        read_spans([line(of_server()), "", bad])
    assert caught.value.reason == "SPANS_INVALID"
    assert caught.value.message.startswith("line 3 ")
