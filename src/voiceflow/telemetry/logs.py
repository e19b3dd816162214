"""Logs to standard error: as text for people, or as JSON that is found again from a trace.

What is logged never holds audio, vectors, names of enrolled speakers, tokens or keys: messages are
written so, and nothing is added to them here but the ids of the current span.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final

from opentelemetry import trace

from voiceflow.telemetry.settings import TelemetrySettings


def set_up(settings: TelemetrySettings, instance: str = "") -> None:
    """Sends the logs of this process to standard error.

    Args:
        settings: From which level on, and in which form.
        instance: Which of several processes this is that write to one place; empty: there are no
            others.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(instance) if settings.log_format == "json" else _text_formatter(instance)
    )
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])


def say_last(settings: TelemetrySettings, text: str) -> None:
    """Says why the process ends: a line for people, or an object like the others before it."""
    if settings.log_format == "json":
        logging.getLogger("voiceflow").error(text)
    else:
        sys.stderr.write(f"{text}\n")


class JsonFormatter(logging.Formatter):
    """One object a line; with `trace_id` and `span_id` while a span is current.

    Args:
        instance: Stands in each; empty: in none.
    """

    def __init__(self, instance: str = "") -> None:
        super().__init__()
        self._instance = instance

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON, without a line break in it."""
        said: dict[str, str] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "severity": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if self._instance:
            said["instance"] = self._instance
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            said["trace_id"] = trace.format_trace_id(span.trace_id)
            said["span_id"] = trace.format_span_id(span.span_id)
        return json.dumps(said, ensure_ascii=False)


def _text_formatter(instance: str) -> logging.Formatter:
    return logging.Formatter(f"%(asctime)s {instance}{' ' * bool(instance)}{_TEXT}")


_TEXT: Final = "%(levelname)s %(name)s: %(message)s"
