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


class Losses:
    """How many spans did not get out, of all exporters; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.spans = 0

    def add(self, spans: int, why: str) -> None:
        """These are lost.

        Args:
            spans: How many.
            why: `queue_full` or `not_sent`.
        """
        TELEMETRY_DROPPED.add(spans, {"why": why})
        with self._lock:
            self.spans += spans

    def tell(self) -> None:
        """Logs how many there were, if any."""
        if self.spans:
            _LOG.warning("%d spans were lost: they could not be sent", self.spans)


class CountingExporter(SpanExporter):
    """Hands spans on, and counts those that are not taken.

    Args:
        exporter: Sends them.
        losses: Where they are counted.
    """

    def __init__(self, exporter: SpanExporter, losses: Losses) -> None:
        self.losses = losses
        self._exporter = exporter
        self._lock = threading.Lock()
        self._taken = 0

    @property
    def taken(self) -> int:
        """Spans that have come out of the queue."""
        return self._taken

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Sends them; waits as long as the exporter does."""
        with self._lock:
            self._taken += len(spans)
        try:
            result = self._exporter.export(spans)
        except BaseException:
            self.losses.add(len(spans), "not_sent")
            raise
        if result is not SpanExportResult.SUCCESS:
            self.losses.add(len(spans), "not_sent")
        return result

    def shutdown(self) -> None:
        """Ends the exporter."""
        self._exporter.shutdown()


class CountingProcessor(BatchSpanProcessor):
    """The SDK's, whose queue never overflows.

    Args:
        exporter: Sends what comes out of it.
    """

    def __init__(self, exporter: CountingExporter) -> None:
        self._spans = _queue_spans()
        super().__init__(exporter, max_queue_size=self._spans)
        self._counting = exporter
        self._lock = threading.Lock()
        self._given = 0

    def on_end(self, span: ReadableSpan) -> None:
        """Queues a span, or counts it as lost."""
        with self._lock:
            full = self._given - self._counting.taken >= self._spans
            self._given += not full
        if full:
            self._counting.losses.add(1, "queue_full")
        else:
            super().on_end(span)


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
    """As OpenTelemetry has it everywhere; not less than goes out in one piece."""
    try:
        return max(_LEAST_SPANS, int(os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE", _QUEUE_SPANS)))
    except ValueError:
        return _QUEUE_SPANS


_QUEUE_SPANS: Final = 2048
_LEAST_SPANS: Final = 1
