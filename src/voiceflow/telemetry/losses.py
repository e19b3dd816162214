"""Counts spans that do not get out, and has the SDK say so in a line a minute, not in one a span.

A queue that is full takes nothing more: what comes then is counted here before the SDK sees it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from voiceflow.telemetry.metrics import TELEMETRY_DROPPED

_LOG = logging.getLogger(__name__)

SILENT_SECONDS: Final = 60.0
"""Between two lines of the SDK's."""


class CountingExporter(SpanExporter):
    """Hands spans on, and counts those that are not taken.

    Args:
        exporter: Sends them.

    Attributes:
        taken: Spans that have come out of the queue.
        sent: Of these, those that arrived.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self.taken = 0
        self.sent = 0
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Sends them, one call after the other; waits as long as the exporter does."""
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            if result is SpanExportResult.SUCCESS:
                self.sent += len(spans)
            else:
                TELEMETRY_DROPPED.add(len(spans), {"why": "not_sent"})
        return result

    def shutdown(self) -> None:
        """Ends the exporter."""
        self._exporter.shutdown()


class CountingProcessor(BatchSpanProcessor):
    """The SDK's, whose queue never overflows.

    Args:
        exporter: Sends what comes out of it.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._counting = CountingExporter(exporter)
        self._room_spans = _queue_spans()
        super().__init__(self._counting, max_queue_size=self._room_spans)
        self._lock = threading.Lock()
        self._queued = 0
        self._refused = 0

    @property
    def lost(self) -> int:
        """Spans that did not get out, or have not yet."""
        return self._queued + self._refused - self._counting.sent

    def on_end(self, span: ReadableSpan) -> None:
        """Queues a span, or counts it as lost."""
        context = span.get_span_context()
        if context is None or not context.trace_flags.sampled:
            return
        with self._lock:
            full = self._queued - self._counting.taken >= self._room_spans
            self._queued += not full
            self._refused += full
        if full:
            TELEMETRY_DROPPED.add(1, {"why": "queue_full"})
        else:
            super().on_end(span)

    def tell(self) -> None:
        """Logs what was lost, if anything was."""
        if self.lost:
            _LOG.warning("%d spans were lost: they could not be sent", self.lost)


@contextmanager
def quiet() -> Iterator[None]:
    """While the block runs, what OpenTelemetry logs is a line of ours a minute at most."""
    logger, handler = logging.getLogger("opentelemetry"), Quieter()
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = True
        logger.removeHandler(handler)


class Quieter(logging.Handler):
    """Passes one record on, and then none for a while.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._until_seconds = 0.0
        self._silent = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Logs it as ours, with how many were kept back before it."""
        now_seconds = self._clock()
        if self._until_seconds and now_seconds < self._until_seconds:
            self._silent += 1
            return
        more = f" ({self._silent} more lines since the last one)" if self._silent else ""
        self._until_seconds, self._silent = now_seconds + SILENT_SECONDS, 0
        _LOG.log(record.levelno, "telemetry: %s%s", record.getMessage(), more)


def _queue_spans() -> int:
    """As OpenTelemetry has it everywhere."""
    try:
        return int(os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE", _QUEUE_SPANS))
    except ValueError:
        return _QUEUE_SPANS


_QUEUE_SPANS: Final = 2048
