"""Recorded spans: files of OTLP requests in JSON, one a line. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from voiceflow.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class SpanFile:
    """What somebody has recorded.

    Attributes:
        name: For people.
        lines: With their ends: the last one has none while it is being written.
    """

    name: str
    lines: Iterable[str]


@dataclass(frozen=True, slots=True)
class Span:
    """One span.

    Attributes:
        process: `service.instance.id` of who told it; empty if it has none.
        name: Of the span.
        trace_id: In hexadecimal digits.
        span_id: Likewise; of its trace.
        parent_id: Likewise; empty if it is the first of its trace.
        start_ns: Since the epoch.
        end_ns: Likewise.
        attributes: By name.
    """

    process: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any]


def spans_of(file: SpanFile, notices: list[str]) -> Iterator[Span]:
    """Every span of a file.

    A line that its writer did not get to the end of is left out: the last one, or one that the next
    writer went on with.

    Args:
        file: Which.
        notices: What was left out is added to them.

    Raises:
        InvalidInput: SPANS_INVALID: a line is no OTLP request in JSON.
    """
    for number, line in enumerate(file.lines, 1):
        if not line.strip():
            continue
        try:
            try:
                request = json.loads(line)
            except ValueError:
                request = _after_cut(line)
                notices.append(f"{file.name}: line {number} is cut and was left out")
            if request is not None:
                yield from _read_request(request)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(
                f"{file.name}: line {number} holds no spans; a line is an OTLP request in JSON",
                reason="SPANS_INVALID",
            ) from error


def _after_cut(line: str) -> Any | None:
    """The request that stands after one that was cut; None: there is none, the line is not done.

    Raises:
        ValueError: The line is no cut one.
    """
    if (at := line.rfind(_BEGIN)) > 0:
        with suppress(ValueError):
            return json.loads(line[at:])
    if line.endswith("\n") or not (line.startswith(_BEGIN) or _BEGIN.startswith(line)):
        raise ValueError("no request, and no part of one")
    return None


def _read_request(request: Any) -> Iterator[Span]:
    for resource in request["resourceSpans"]:
        told = _attributes(resource.get("resource", {}))
        process = str(told.get("service.instance.id", ""))
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                yield _read(process, span)


def _read(process: str, span: Mapping[str, Any]) -> Span:
    return Span(
        process,
        str(span["name"]),
        str(span["traceId"]),
        str(span["spanId"]),
        str(span.get("parentSpanId", "")),
        int(span["startTimeUnixNano"]),
        int(span["endTimeUnixNano"]),
        _attributes(span),
    )


def _attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {one["key"]: _value(one["value"]) for one in holder.get("attributes", ())}


def _value(value: Mapping[str, Any]) -> Any:
    """Whole numbers are strings in JSON, as protobuf has it."""
    if "intValue" in value:
        return int(value["intValue"])
    return next(iter(value.values()), None)


_BEGIN: Final = '{"resourceSpans"'
"""Of a line, whoever writes it: a service, or a collector."""
