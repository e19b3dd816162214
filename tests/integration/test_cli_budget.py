"""`voiceflow budget` of a live service, and of what it and its clients have recorded."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import soundfile

from benchmarks.service import running_service
from tests.fakes.models import Spoken, tones, write_stream_package
from tests.fakes.registry import process
from tests.integration.commands import done
from tests.integration.test_cli import finish
from voiceflow.artifact import LatencyMode
from voiceflow.budget import STAGES
from voiceflow.catalog.channels import Canary, Rollout, VersionPin
from voiceflow.cli.budget_probe import probe
from voiceflow.client import DiarizationClient, RegistryClient, RoleSince, ServingState
from voiceflow.client.audio import open_recording

STABLE = "models/tones/channels/stable"
OLD, NEW = "models/tones/versions/1.0.0", "models/tones/versions/1.1.0"
STREAMS, SECONDS, HOPS = 2, 2.0, 4 + 1  # the last one is a short one


async def budgets(*arguments: str | Path) -> list[dict[str, Any]]:
    """What a command prints as JSON; one that opens streams handles signals."""
    to_its_end = done if "--spans" in arguments else finish
    code, out, err = await to_its_end("budget", "--json", *arguments)
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
    assert live["period"] is None  # it is served from a folder
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

    code, out, err = await done("budget", "--spans", of_server)
    assert code == 0, err
    assert out.startswith("tones 1.0.0, primary at least since 2")  # a time
    assert f" UTC: {STREAMS * HOPS} hops\n" in out
    assert f"Most of the time goes to {alone['slowest']}" in out

    code, out, err = await done("budget", "--spans", of_server, "--slowest", "3", "--json")
    assert code == 0, err
    slowest = json.loads(out)["slowest"]
    seconds = [hop["end_to_end_seconds"] for hop in slowest]
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[0] == pytest.approx(alone["end_to_end"]["p99_seconds"], rel=0.5)
    _, out, _ = await done("budget", "--spans", of_server, "--slowest", "3")
    for hop in slowest:
        assert hop["trace_id"] in out
        assert hop["trace_id"] in await asyncio.to_thread(of_server.read_text)


async def hear(address: str, recording: Path) -> None:
    """A stream of two hops and a short one."""
    async with DiarizationClient(address) as client:
        hops = await probe(
            client,
            open_recording(recording),
            LatencyMode.DENSITY,
            seconds=1.0,
            streams=1,
            stop=asyncio.Event(),
        )
    assert len(hops) == 3


async def served(address: str, promotion: int) -> ServingState:
    """What a service says of itself once it serves a promotion."""
    async with DiarizationClient(address) as client, asyncio.timeout(60):
        while (state := await client.serving_state()).serving_sequence != promotion:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return state


async def test_each_version_is_told_with_its_role_and_since_which_promotion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a rollback and a restart: by what is recorded, and by a service itself."""
    monkeypatch.setenv("COLUMNS", "200")
    recording = tmp_path / "tones.wav"
    soundfile.write(recording, tones(Spoken((2,), 0.7)), 16_000)
    spans = tmp_path / "server.jsonl"
    async with process("--store", str(tmp_path / "store")) as registry:
        following: dict[str, Any] = {
            "registry": registry.address,
            "model": "tones",
            "cache_dir": tmp_path / "cache",
            "state_dir": tmp_path / "state",
            "telemetry_file": spans,
            "trace_share": 1.0,
        }
        async with RegistryClient(registry.address) as client:
            for version in ("1.0.0", "1.1.0"):
                await client.publish(write_stream_package(tmp_path / version, version))
            await client.promote(STABLE, OLD)
            with running_service(None, **following) as service:
                await hear(service.address, recording)
                await client.promote(STABLE, NEW)
                await served(service.address, 2)
                await hear(service.address, recording)
                await client.rollback(STABLE)
                await served(service.address, 3)
            old, new = VersionPin(version=OLD), VersionPin(version=NEW)
            trial = Rollout(primary=old, canary=Canary(pin=new, percentage=0.01))
            _, promotion = await client.promote(STABLE, trial)
            with running_service(None, **following) as service:
                state = await served(service.address, promotion.sequence)
                (live,) = await budgets(recording, "--server", service.address, "--seconds", "1")
                _, shown, _ = await done("serving-state", "--server", service.address)
            history = [one async for one in client.history(STABLE)][::-1]
        code, _, err = await finish("budget", recording, "--server", registry.address)
        assert code == 5
        assert f"the server at {registry.address} is no inference service" in err

    assert {one.role: one.role_since for one in state.generations} == {
        "primary": RoleSince(3, "rollback", history[2].commit_time, or_earlier=False),
        "canary": RoleSince(4, "promote", history[3].commit_time, or_earlier=False),
    }
    assert "primary since" in shown
    assert "canary since" in shown
    told = [f"{n} (committed {history[n - 1].commit_time:%Y-%m-%d %H:%M:%S} UTC)" for n in (1, 2)]
    back = f"3 (rollback, committed {history[2].commit_time:%Y-%m-%d %H:%M:%S} UTC)"
    assert (live["version"], live["period"]["role"]) == (OLD, "primary")
    assert live["period"]["since"]["promotion"] == 3
    assert not live["period"]["or_earlier"]
    code, out, err = await done("budget", "--spans", spans)
    assert code == 0, err
    assert f"tones 1.0.0, primary from promotion {told[0]} to promotion {told[1]}: 3 hops\n" in out
    assert f"tones 1.1.0, primary from promotion {told[1]} to promotion {back}: 3 hops\n" in out
    assert f"tones 1.0.0, primary since promotion {back}: 3 hops\n" in out
    assert "1.1.0 differs from 1.0.0 by what 3 hops do not tell" in out


async def test_a_file_that_is_cut_is_read_and_named(tmp_path: Path) -> None:
    """Its writer is at it."""
    path = tmp_path / "spans.jsonl"
    await asyncio.to_thread(path.write_text, '{"resourceSpans": [{"resource"')
    code, _, err = await done("budget", "--spans", path)
    assert code == 3
    assert f"{path}: line 1 is cut and was left out" in err
    assert "(HOPS_MISSING)" in err


async def test_the_slowest_are_listed_of_spans_alone(tmp_path: Path) -> None:
    """A stream of one's own has no trace that anybody could look at."""
    code, _, err = await done("budget", tmp_path / "a.wav", "--slowest", "3")
    assert code == 2
    assert "--spans" in err


@pytest.mark.parametrize(("text", "reason"), [("", "HOPS_MISSING"), ("{}\n", "SPANS_INVALID")])
async def test_a_file_without_spans_is_not_usable(tmp_path: Path, text: str, reason: str) -> None:
    """Exit code 3."""
    await asyncio.to_thread((path := tmp_path / "spans.jsonl").write_text, text)
    code, _, err = await done("budget", "--spans", path)
    assert code == 3
    assert f"({reason})" in err
    assert reason == "HOPS_MISSING" or f"{path}: line 1 " in err


async def test_recorded_and_live_are_two_things(tmp_path: Path) -> None:
    """A file of spans has its own audio."""
    code, _, err = await done("budget", tmp_path / "a.wav", "--spans", __file__)
    assert code == 2
    assert "--spans" in err
