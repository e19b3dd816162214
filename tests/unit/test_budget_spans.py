"""Hops are found in recorded spans, of servers alone or with those of their clients."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import pytest

from voiceflow.budget_spans import Recorded
from voiceflow.budget_spans import read_spans as read_files
from voiceflow.errors import InvalidInput
from voiceflow.otlp_json import SpanFile

VERSION = "models/m/versions/1.0.0"
EPOCH_NS = 1_800_000_000_000_000_000
MS = 1_000_000
TRACE = f"{7:032x}"
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
        "traceId": TRACE,
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


def read_spans(lines: list[str]) -> Recorded:
    """Of one file; each line has an end."""
    return read_files([SpanFile("server.jsonl", [f"{line}\n" for line in lines])])


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


def test_a_span_that_is_read_twice_counts_once() -> None:
    """The same file given twice, or a file and a copy that a collector has made of it."""
    lines = [line(of_client()), line(of_server())]
    once, twice = read_spans(lines), read_spans([*lines, *lines])
    assert twice == once
    assert len(once.hops) == 1


def test_spans_are_known_by_their_trace_too() -> None:
    """A span's id is unique in its trace alone."""
    first, second = of_server(), of_server(session="t")
    for one, other in zip(first, second, strict=True):
        other |= {"spanId": one["spanId"], "parentSpanId": one["parentSpanId"], "traceId": "f" * 32}
    found = read_spans([line(first), line(second)])
    assert [hop.stages["infer"] for hop in found.hops] == [0.007, 0.007]


def test_every_hop_of_a_live_stream_is_found_by_its_trace() -> None:
    """Those kept for being slow, too; no recordings."""
    spans = of_server(hop__drawn=False) + of_server(session="t") + of_server(kind="file")
    slow, other = read_spans([line(spans)]).traced
    assert (slow.trace_id, slow.session, slow.audio_end_seconds) == (TRACE, "s", 0.48)
    assert (slow.drawn, other.drawn) == (False, True)
    assert slow.at.timestamp() == EPOCH_NS / 1e9 + 5_000


def test_a_version_that_was_left_is_told() -> None:
    """With the promotion that wanted it, and why."""
    told: dict[str, Any] = {
        "model__version": VERSION,
        "promotion__sequence": 2,
        "reason": "NON_FINITE",
    }
    (left,) = read_spans([line([span("voiceflow.model.revert", 1, 1, **told)])]).left
    assert (left.version, left.promotion, left.reason) == (VERSION, 2, "NON_FINITE")


@pytest.mark.parametrize("length", [1, 16, 17, 200, -1])
def test_a_last_line_that_is_not_finished_is_left_out(length: int) -> None:
    """Its writer is at it, or was killed; whoever reads is told."""
    cut = line(of_server(session="t"))[:length]
    found = read_files([SpanFile("server.jsonl", [f"{line(of_server())}\n", cut])])
    assert len(found.hops) == 1
    assert found.notices == ("server.jsonl: line 2 is cut and was left out",)


def test_a_last_line_without_an_end_counts_if_it_is_whole() -> None:
    """Nothing of it is missing."""
    found = read_files([SpanFile("server.jsonl", [line(of_server())])])
    assert (len(found.hops), found.notices) == (1, ())


def test_what_a_restart_has_written_behind_a_cut_line_counts() -> None:
    """The next process goes on with the file where the last one was killed."""
    cut = line(of_server(session="t"))[:200]
    found = read_spans([cut + line(of_server()), line(of_server(session="u"))])
    assert len(found.hops) == 2
    assert found.notices == ("server.jsonl: line 1 is cut and was left out",)


@pytest.mark.parametrize(
    "bad",
    [
        "{",
        '{"resourceSpans": [{',
        "[]",
        "{}",
        '{"resourceSpans": 1}',
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "x"}]}]}]}',
        '{"resourceSpans": [{"scopeSpans": [{"spans": [7]}]}]}',
    ],
)
def test_what_are_no_spans_are_refused(bad: str) -> None:
    """With the file and the number of the line, and nothing of what stands in it."""
    with pytest.raises(InvalidInput) as caught:
        read_spans([line(of_server()), "", bad])
    assert caught.value.reason == "SPANS_INVALID"
    assert caught.value.message.startswith("server.jsonl: line 3 ")
