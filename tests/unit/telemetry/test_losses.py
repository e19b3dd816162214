"""What does not get out is counted and told once, however often the SDK would say so."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from tests.fakes.metrics import counted
from voiceflow.telemetry.losses import SILENT_SECONDS, CountingProcessor, Quieter, quiet


class Held(SpanExporter):
    """Takes the first spans when it is let go on, and answers as it is told.

    Args:
        result: Of each export.
    """

    def __init__(self, result: SpanExportResult) -> None:
        self.result = result
        self.asked, self.going_on = threading.Event(), threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Waits."""
        del spans
        self.asked.set()
        self.going_on.wait()
        return self.result


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queues of four spans, from which two go out in one piece, soon."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    counted("voiceflow.telemetry.dropped")


def end_spans(processor: CountingProcessor, spans: int, *, sampled: bool = True) -> TracerProvider:
    """Begins and ends so many; returns what is to be shut down."""
    provider = TracerProvider(sampler=ALWAYS_ON if sampled else ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    for _ in range(spans):
        provider.get_tracer("test").start_span("one").end()
    return provider


def test_what_a_queue_does_not_hold_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """While the receiver holds one piece up, four more wait, and the others are lost."""
    exporter = Held(SpanExportResult.SUCCESS)
    processor = CountingProcessor(exporter)
    before = counted("voiceflow.telemetry.dropped", why="queue_full")
    end_spans(processor, 1)
    exporter.asked.wait()
    provider = end_spans(processor, 4 + 3)
    assert counted("voiceflow.telemetry.dropped", why="queue_full") == before + 3
    exporter.going_on.set()
    provider.shutdown()
    processor.tell()
    assert caplog.messages == ["3 spans were lost: they could not be sent"]


def test_what_a_receiver_does_not_take_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """What it takes is not, and neither is what nobody wanted to be recorded."""
    before = counted("voiceflow.telemetry.dropped", why="not_sent")
    for result, lost in ((SpanExportResult.FAILURE, 3), (SpanExportResult.SUCCESS, 0)):
        exporter = Held(result)
        exporter.going_on.set()
        processor = CountingProcessor(exporter)
        end_spans(processor, 3)
        end_spans(processor, 9, sampled=False).shutdown()
        assert processor.lost == lost
        processor.tell()
    assert counted("voiceflow.telemetry.dropped", why="not_sent") == before + 3
    assert len(caplog.messages) == 1


def test_the_sdk_has_a_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """Of all that it logs, with how many lines were kept back; its own go nowhere."""
    now_seconds = 5.0
    quieter = Quieter(lambda: now_seconds)
    record = logging.LogRecord("opentelemetry.a", logging.WARNING, "", 0, "away", (), None)
    for _ in range(35):
        quieter.handle(record)
    now_seconds += SILENT_SECONDS
    quieter.handle(record)
    assert caplog.messages == [
        "telemetry: away",
        "telemetry: away (34 more lines since the last one)",
    ]
    caplog.clear()
    with quiet():
        logging.getLogger("opentelemetry.exporter.otlp").warning("away")
        logging.getLogger("opentelemetry.sdk").warning("full")
    assert caplog.messages == ["telemetry: away"]
