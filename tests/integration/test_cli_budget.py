"""`voiceflow budget` of a live service, and of what it and its clients have recorded."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import soundfile

from benchmarks.service import running_service
from tests.fakes.models import Spoken, tones
from tests.integration.test_cli import finish
from voiceflow.budget import STAGES

STREAMS, SECONDS, HOPS = 2, 2.0, 4 + 1  # the last one is a short one


async def budgets(*arguments: str | Path) -> list[dict[str, Any]]:
    """What a command prints as JSON."""
    code, out, err = await finish("budget", "--json", *arguments)
    assert code == 0, err
    told: list[dict[str, Any]] = json.loads(out)["budgets"]
    return told


async def test_the_budget_of_a_live_service_is_that_of_its_recorded_spans(
    stream_package: Path, tmp_path: Path
) -> None:
    """Every stage, by version; a server's spans alone have its part, with the client's all."""
    recording = tmp_path / "tones.wav"
    soundfile.write(recording, tones(Spoken((2,), 0.7)), 16_000)  # begins again and again
    of_server, of_client = tmp_path / "server.jsonl", tmp_path / "client.jsonl"
    with running_service(stream_package, telemetry_file=of_server, trace_share=1.0) as service:
        shape = ("--server", service.address, "--seconds", str(SECONDS), "--streams", str(STREAMS))
        (live,) = await budgets(recording, *shape, "--telemetry-file", of_client)
    assert live["version"] == "models/tones/versions/1.0.0"
    assert live["promotion"] is None  # it is served from a folder
    assert live["hops"] == STREAMS * HOPS
    assert live["adding_up"] >= 0.99
    assert [row["name"] for row in live["stages"]] == [*STAGES]
    assert live["slowest"] in STAGES

    (both,) = await budgets("--spans", of_server, "--spans", of_client)
    (alone,) = await budgets("--spans", of_server)
    assert [row["name"] for row in both["stages"]] == [*STAGES]
    assert [row["name"] for row in alone["stages"]] == [*STAGES[2:-1]]
    assert both["hops"] == alone["hops"] == STREAMS * HOPS
    assert both["adding_up"] >= 0.99
    assert alone["adding_up"] >= 0.99
    for mine, theirs in zip(live["stages"], both["stages"], strict=True):
        assert mine["median_seconds"] == pytest.approx(theirs["median_seconds"], abs=1e-6)

    code, out, err = await finish("budget", "--spans", of_server)
    assert code == 0, err
    assert out.startswith("tones 1.0.0, since promotion 1 (")
    assert f" UTC): {STREAMS * HOPS} hops\n" in out
    assert f"Most of the time goes to {alone['slowest']}" in out


@pytest.mark.parametrize(("text", "reason"), [("", "HOPS_MISSING"), ("{}\n", "SPANS_INVALID")])
async def test_a_file_without_spans_is_not_usable(tmp_path: Path, text: str, reason: str) -> None:
    """Exit code 3."""
    await asyncio.to_thread((path := tmp_path / "spans.jsonl").write_text, text)
    code, _, err = await finish("budget", "--spans", path)
    assert code == 3
    assert f"({reason})" in err


async def test_recorded_and_live_are_two_things(tmp_path: Path) -> None:
    """A file of spans has its own audio."""
    code, _, err = await finish("budget", tmp_path / "a.wav", "--spans", __file__)
    assert code == 2
    assert "--spans" in err
