"""Commands that change something can be followed into the registry; nothing else is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from tests.fakes.publishing import ScriptedGates, finding, package
from tests.fakes.registry import eventually, running
from tests.fakes.spans import Recorded, recorded
from tests.unit.cli.models.test_commands import Desk
from voiceflow.catalog.gates import Gate


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A publisher and a registry with one version, whose graph does not pass again."""
    gates = ScriptedGates()
    async with running(gates=gates, demanded_gates="manifest") as (app, _):
        desk = Desk(tmp_path, app.server.address, gates)
        await desk.done("publish", desk.write(package()))
        gates.failing[Gate.GRAPH] = finding("graph.too-large")
        yield desk


def roots(spans: Recorded) -> list[ReadableSpan]:
    """Spans without a parent."""
    return [span for span in spans.ended if span.parent is None]


async def test_a_command_is_the_root_of_all_that_it_asks(desk: Desk) -> None:
    """One trace holds the command and every call that it makes."""
    with recorded() as spans:
        await desk.done("promote", "tones@1.0.0", "--channel", "stable")
        await eventually(lambda: _settled(spans))
    (root,) = roots(spans)
    assert root.name == "voiceflow.promote"
    assert (root.attributes or {})["voiceflow.outcome"] == "OK"
    called = [span.name.rpartition("/")[2] for span in spans.ended if "ModelRegistry" in span.name]
    assert called == ["GetChannel", "PromoteVersion"]


async def test_a_command_that_is_refused_says_why_and_no_more(desk: Desk) -> None:
    """Its span has the reason, and not the message: that may hold what callers write."""
    with recorded() as spans:
        outcome = await desk.run("promote", "tones@9.9.9", "--channel", "stable")
        assert outcome.code == 3
        await eventually(lambda: _settled(spans))
    (root,) = roots(spans)
    assert (root.attributes or {})["voiceflow.outcome"] == "VERSION_NOT_FOUND"
    assert not root.status.is_ok
    assert [event for span in spans.ended for event in span.events] == []


async def test_gates_that_do_not_pass_are_an_answer_of_the_command(desk: Desk) -> None:
    """It has done what it was asked for; its exit code tells what came of that."""
    with recorded() as spans:
        outcome = await desk.run("validate", "tones@1.0.0", "--gates", "graph")
        assert outcome.code == 1
        await eventually(lambda: _settled(spans))
    (root,) = roots(spans)
    assert root.attributes == {"process.exit.code": 1, "voiceflow.outcome": "OK"}


async def test_who_only_looks_is_no_root(desk: Desk) -> None:
    """A list, or a watch that lasts for days, has no span of its own."""
    with recorded() as spans:
        await desk.done("list")
        await eventually(lambda: _settled(spans))
    assert [span.name.rpartition("/")[2] for span in roots(spans)] == ["ListModels"]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"}, "http://HOST:PORT"),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317",
                "OTEL_EXPORTER_OTLP_COMPRESSION": "best",
            },
            "best",
        ),
    ],
)
async def test_an_environment_that_nothing_is_recorded_by_holds_up_no_command(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], said: str
) -> None:
    """It is said, by the name of the variable; a rollback must not wait for that."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    outcome = await desk.run("promote", "tones@1.0.0", "--channel", "stable")
    assert outcome.code == 0
    assert "OTEL_EXPORTER_OTLP_ENDPOINT: nothing is sent" in outcome.err
    assert said in outcome.err
    outcome = await desk.run("show", "tones/stable")
    assert outcome.code == 0


async def test_a_file_that_cannot_be_written_is_refused_before_anything_is_changed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever names it wants it, whatever else is recorded by the environment."""
    nowhere = str(tmp_path / "nowhere" / "spans")
    for endpoint in ("", "collector:4317", "http://127.0.0.1:9"):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        with pytest.raises(FileNotFoundError):
            await desk.run(
                "--telemetry-file", nowhere, "promote", "tones@1.0.0", "--channel", "stable"
            )
    outcome = await desk.run("show", "tones/stable")
    assert "CHANNEL_NOT_FOUND" in outcome.err


async def _settled(spans: Recorded) -> bool:
    return bool(spans.begun) and not spans.unended()
