"""Logs are lines for people, or objects that lead to their trace."""

from __future__ import annotations

import json
import logging
import sys

from opentelemetry import trace

from tests.fakes.spans import recorded, span_id
from voiceflow.telemetry.logs import JsonFormatter


def said(
    message: str, *arguments: object, failed: bool = False, instance: str = ""
) -> dict[str, str]:
    """What is written of one record, as one line of JSON."""
    error = sys.exc_info() if failed else None
    record = logging.LogRecord("a.logger", logging.WARNING, "", 0, message, arguments, error)
    line = JsonFormatter(instance).format(record)
    assert "\n" not in line
    told: dict[str, str] = json.loads(line)
    return told


def test_a_record_is_one_object() -> None:
    """Time with its zone, severity, who said it, and what; nothing of a trace without one."""
    told = said("%s serves %s", "stable", "1.0.0")
    assert told.pop("time").endswith("+00:00")
    assert told == {
        "severity": "WARNING",
        "logger": "a.logger",
        "message": "stable serves 1.0.0",
    }


def test_a_record_says_which_process_it_is_of() -> None:
    """Where several write to one place."""
    assert said("hello", instance="blue-w1")["instance"] == "blue-w1"


def test_a_record_leads_to_its_trace() -> None:
    """Under a span it has the ids that the span is found by."""
    with recorded() as spans, trace.get_tracer("test").start_as_current_span("call"):
        told = said("hello")
    (span,) = spans.ended
    assert told["span_id"] == f"{span_id(span):016x}"
    context = span.get_span_context()
    assert context is not None
    assert told["trace_id"] == f"{context.trace_id:032x}"


def test_a_failure_stays_one_line() -> None:
    """What went wrong is part of the object, line breaks and all."""
    try:
        int("no number")
    except ValueError:
        told = said("it failed", failed=True)
    assert "ValueError: invalid literal" in told["exception"]
    assert "\n" in told["exception"]


def test_what_people_write_does_not_break_a_line() -> None:
    """Neither quotes nor line breaks in a message make another record of it."""
    assert said('a "name"\nand more')["message"] == 'a "name"\nand more'
