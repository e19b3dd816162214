"""What is recorded gets out: to a collector, a file, Prometheus; or it holds up nothing."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from tests.fakes.collector import collecting
from voiceflow.telemetry import providers
from voiceflow.telemetry.providers import _End, _end_all

PATIENCE_SECONDS = 60

SCRIPT = """
import sys
from opentelemetry import trace
from voiceflow.telemetry import TelemetrySettings, logs, metrics, started

settings = TelemetrySettings.model_validate_json(sys.argv[1])
logs.set_up(settings)
tracer = trace.get_tracer("voiceflow")
with started(settings, "a-service", "one"):
    with tracer.start_as_current_span("outer", attributes={"voiceflow.session": "s"}) as outer:
        link = trace.Link(outer.get_span_context())
        with tracer.start_as_current_span("inner", links=[link]):
            metrics.HOP_DURATION.record(0.02, {"version": "v"})
    metrics.SWAPS.add(2, {"version": "v"})
    print("ready", flush=True)
    sys.stdin.read()
print("ended", flush=True)
"""


def process(*script: str, **environment: str) -> subprocess.Popen[str]:
    """Python, with what it runs."""
    return subprocess.Popen(
        [sys.executable, "-c", *script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def run(*, settings: dict[str, Any], **environment: str) -> tuple[str, str]:
    """Records the two spans of the script; returns what it prints and logs, once it has ended."""
    with process(SCRIPT, json.dumps(settings), **environment) as recorder:
        return recorder.communicate(timeout=PATIENCE_SECONDS)


def test_a_collector_gets_spans_and_metrics() -> None:
    """With parents, links and attributes, and with the process that they are of."""
    with collecting() as collector:
        printed, _ = run(settings={"otlp_endpoint": collector.endpoint})
        assert printed == "ready\nended\n"
        (inner,) = collector.wait_for_spans("inner")
        (outer,) = collector.wait_for_spans("outer")
        swaps = collector.points("voiceflow.swaps")
        hops = collector.points("voiceflow.hop.duration")
    assert inner.parent_id == outer.span_id
    assert inner.links == (outer.own,)
    assert outer.attributes == {"voiceflow.session": "s"}
    assert outer.resource["service.name"] == "a-service"
    assert outer.resource["service.instance.id"] == "one"
    (swap,) = swaps.values()
    assert swap.value == 2
    (hop,) = hops.values()
    assert hop.value == 1
    assert hop.exemplars == (outer.trace_id,)  # from a metric to what it is about


def test_a_file_gets_what_a_collector_gets(tmp_path: Path) -> None:
    """One request of OTLP a line, in its JSON: ids in hex, enums as numbers."""
    path = tmp_path / "spans"
    with collecting() as collector:
        settings = {"otlp_endpoint": collector.endpoint, "telemetry_file": str(path)}
        run(settings=settings)
        sent = {span.name: span for span in collector.spans}
    requests = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    written = {
        span["name"]: span
        for request in requests
        for resource in request["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    }
    assert written.keys() == sent.keys() == {"inner", "outer"}
    for name, span in sent.items():
        assert written[name]["traceId"] == span.trace_id
        assert written[name]["spanId"] == span.span_id
        assert written[name].get("parentSpanId", "") == span.parent_id
        assert int(written[name]["startTimeUnixNano"]) == span.start_ns
        assert written[name]["kind"] == 1
    (link,) = written["inner"]["links"]
    assert (link["traceId"], link["spanId"]) == sent["outer"].own
    for request in requests:  # but for ids it is protobuf's own JSON
        json_format.ParseDict(request, trace_service_pb2.ExportTraceServiceRequest())


def test_a_file_is_added_to(tmp_path: Path) -> None:
    """Two processes, or two runs, share a file without loss."""
    path = tmp_path / "spans"
    for _ in range(2):
        run(settings={"telemetry_file": str(path)})
    assert len(path.read_text("utf-8").splitlines()) == 2


def test_prometheus_gets_metrics_and_the_log_tells_where() -> None:
    """As Prometheus spells them, with the buckets of hops; the port is closed in the end."""
    settings = {"metrics_port": 0}
    reader = """
import re, sys, urllib.request
at = re.search("served at (.*)", sys.stdin.read()).group(1)
print(urllib.request.urlopen(f"http://{at}/metrics").read().decode())
"""
    with process(SCRIPT, json.dumps(settings)) as recorder:
        assert recorder.stderr is not None
        line = recorder.stderr.readline()
        with process(reader) as reading:
            told, _ = reading.communicate(line, timeout=PATIENCE_SECONDS)
        recorder.communicate(timeout=PATIENCE_SECONDS)
    assert 'voiceflow_swaps_total{version="v"} 2.0' in told
    assert 'voiceflow_hop_duration_seconds_bucket{le="0.02",version="v"} 1.0' in told
    assert 'service_name="a-service"' in told
    port = int(line.rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_receiver_that_is_away_fails_nothing() -> None:
    """The process goes on, ends as it would, and its log says what was lost, in some lines."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        printed, logged = run(settings={"otlp_endpoint": endpoint})
    assert printed == "ready\nended\n"
    assert "did not get out" in logged
    assert "2 spans were lost" in logged
    assert len(logged.splitlines()) <= 20


def test_a_receiver_that_never_answers_fails_nothing() -> None:
    """Likewise; it has been asked, and has not answered by the time that the process is gone."""
    with collecting(answers=False) as collector:
        printed, _ = run(settings={"otlp_endpoint": collector.endpoint})
        assert printed == "ready\nended\n"
        assert collector.calls
        assert collector.spans == []


def test_the_end_waits_for_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs is cut by the end of its exporters, so that its thread ends, too."""
    monkeypatch.setattr(providers, "END_SECONDS", 0.01)
    cut, ended = threading.Event(), threading.Event()

    class Exporter:
        def shutdown(self) -> None:
            cut.set()

    def send() -> None:
        cut.wait()
        ended.set()

    _end_all([_End(send, [Exporter()]), _End(lambda: None, [])])
    assert ended.wait(PATIENCE_SECONDS)


def test_what_cannot_be_recorded_is_said_at_the_start(tmp_path: Path) -> None:
    """A folder that is not there, or a port that is taken, ends the process, not the first span."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for settings in (
            {"metrics_port": taken.getsockname()[1]},
            {"telemetry_file": str(tmp_path / "nowhere" / "spans")},
        ):
            printed, logged = run(settings=settings)
            assert printed == ""
            assert re.search("OSError|FileNotFoundError", logged)
            if port := settings.get("metrics_port"):
                assert f"--metrics-port {port} of 127.0.0.1: Address already in use" in logged


def test_without_the_extra_there_is_a_clear_word() -> None:
    """What records is loaded only where it is asked for; where it is missing, that is said."""
    script = """
import sys
from voiceflow.errors import NotAllowedNow
from voiceflow.telemetry import OFF, TelemetrySettings, started

with started(OFF, "a-service"):
    assert "opentelemetry.sdk" not in sys.modules
sys.modules["opentelemetry.sdk"] = None
try:
    with started(TelemetrySettings(metrics_port=0), "a-service"):
        pass
except NotAllowedNow as error:
    print(error.reason, error.message)
"""
    with process(script) as told:
        printed, logged = told.communicate(timeout=PATIENCE_SECONDS)
    assert printed.startswith("TELEMETRY_MISSING"), logged
    assert "pip install 'voiceflow[telemetry]'" in printed
