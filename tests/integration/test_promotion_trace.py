"""One trace follows a promotion from a publisher's command to the pod that swaps.

Four processes on loopback: the command, a registry, a service that follows it, and what takes
their spans over OTLP.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from benchmarks.service import running_service
from tests.fakes.collector import Collector, Span, collecting
from tests.fakes.models import write_stream_package
from tests.fakes.registry import process
from voiceflow.client.registry import RegistryClient

CALLS: Final = "voiceflow.registry.v1.ModelRegistry"
STABLE: Final = "models/tones/channels/stable"
COMMAND: Final = (sys.executable, "-c", "from voiceflow.cli import main; main()", "models")


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Takes the spans of everything that is started, soon after they have ended."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with collecting() as collector:
        yield collector


@asynccontextmanager
async def fleet(folder: Path, collector: Collector) -> AsyncIterator[str]:
    """A registry with two versions, and a pod that serves the first; gives its address."""
    recorded = ("--otlp-endpoint", collector.endpoint)
    async with process("--store", str(folder / "store"), *recorded) as registry:
        async with RegistryClient(registry.address) as client:
            for version in ("1.0.0", "1.1.0"):
                await client.publish(write_stream_package(folder / version, version))
            await client.promote(STABLE, "models/tones/versions/1.0.0")
        with running_service(
            None,
            registry=registry.address,
            model="tones",
            cache_dir=folder / "cache",
            state_dir=folder / "state",
            otlp_endpoint=collector.endpoint,
        ):
            yield registry.address


async def run(*arguments: str, **environment: str) -> None:
    """`voiceflow models …` to its end, as a publisher's CI runs it."""
    started = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stderr=asyncio.subprocess.PIPE, env={**os.environ, **environment}
    )
    _, err = await started.communicate()
    assert started.returncode == 0, err.decode()


def way_up(span: Span, spans: list[Span]) -> list[tuple[str, str]]:
    """From a span to the root of its trace: the process and the name of each."""
    of_trace = {one.span_id: one for one in spans if one.trace_id == span.trace_id}
    way = []
    here: Span | None = span
    while here is not None:
        way.append((here.resource["service.name"].removeprefix("voiceflow-"), here.name))
        assert not here.parent_id or here.parent_id in of_trace, "a span whose parent never came"
        here = of_trace.get(here.parent_id)
    return way


async def test_one_trace_goes_from_the_command_to_the_pods_swap(
    tmp_path: Path, collector: Collector
) -> None:
    """What is asked "since which promotion" is answered by following a swap up to its command."""
    async with fleet(tmp_path, collector) as registry:
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
        await run(
            *("promote", "tones@1.1.0", "--channel", "stable", "--registry", registry), **endpoint
        )

        def of_promotion(name: str) -> list[Span]:
            """Spans of a name in the trace of the command."""
            roots = [
                span
                for span in collector.named("voiceflow.promote")
                if span.resource["service.name"] == "voiceflow-cli"
            ]
            traces = {root.trace_id for root in roots}
            return [span for span in collector.named(name) if span.trace_id in traces]

        names = [
            *(f"voiceflow.model.{step}" for step in ("download", "verify", "warm", "swap")),
            *(f"{CALLS}/{method}" for method in ("PromoteVersion", "DownloadVersion")),
            "voiceflow.watch.deliver",
        ]
        collector.wait_for(lambda: all(map(of_promotion, names)))
        collector.wait_for(lambda: len(of_promotion("voiceflow.promote")) == 2)
        spans = collector.spans

    committed = [
        ("registry", "voiceflow.promote"),
        ("registry", f"{CALLS}/PromoteVersion"),
        ("cli", "voiceflow.promote"),
    ]
    (swap,) = of_promotion("voiceflow.model.swap")
    assert way_up(swap, spans) == [("inference", "voiceflow.model.swap"), *committed]
    assert swap.attributes["voiceflow.model.version"] == "models/tones/versions/1.1.0"
    (delivery,) = of_promotion("voiceflow.watch.deliver")
    assert way_up(delivery, spans) == [("registry", "voiceflow.watch.deliver"), *committed]
    for download in of_promotion(f"{CALLS}/DownloadVersion"):
        assert way_up(download, spans)[1:] == [
            ("inference", "voiceflow.model.download"),
            *committed,
        ]


async def test_a_file_takes_what_a_command_records_beside_a_collector(
    tmp_path: Path, collector: Collector
) -> None:
    """One OTLP request in JSON a line, with the trace that the registry goes on with."""
    recorded = ("--otlp-endpoint", collector.endpoint)
    file = tmp_path / "spans.jsonl"
    async with process("--store", str(tmp_path / "store"), *recorded) as registry:
        package = write_stream_package(tmp_path / "1.0.0", "1.0.0")
        await run(
            *("--telemetry-file", str(file), "publish", str(package)),
            *("--registry", registry.address),
        )
        (publish,) = collector.wait_for_spans("voiceflow.publish")
        collector.wait_for_spans(f"{CALLS}/PublishVersion")
    (line,) = file.read_text().splitlines()
    (resource,) = json.loads(line)["resourceSpans"]
    (root,) = resource["scopeSpans"][0]["spans"]
    assert root["name"] == "voiceflow.publish"
    assert "parentSpanId" not in root
    assert publish.trace_id == root["traceId"]
