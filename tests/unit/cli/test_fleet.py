"""`voiceflow fleet` and `voiceflow models compare` against the real registry."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from click.testing import CliRunner

from tests.fakes.publishing import package
from tests.fakes.registry import call, promotion, publish, running
from voiceflow.catalog.channels import Role, VersionPin
from voiceflow.catalog.pods import (
    Cause,
    GenerationState,
    Histogram,
    Pod,
    PodGeneration,
    Revert,
    VersionOutcomes,
)
from voiceflow.cli import fleet as fleet_module
from voiceflow.cli.commands import commands, error_lines, exit_code
from voiceflow.client.registry import RegistryClient
from voiceflow.errors import VoiceFlowError
from voiceflow.registry.v1 import registry_pb2_grpc as pb_grpc

CHANNEL = "models/tones/channels/stable"
V100, V110 = (f"models/tones/versions/{version}" for version in ("1.0.0", "1.1.0"))
START = datetime.now(UTC)


class Operator:
    """An operator, and servers that report as they are told.

    Attributes:
        client: Of the registry.
        registry: The same, without manners.
    """

    def __init__(
        self, client: RegistryClient, registry: pb_grpc.ModelRegistryStub, address: str
    ) -> None:
        self.client = client
        self.registry = registry
        self._address = address
        self._reports = 0
        self._sequence = 0

    async def run(self, *arguments: str) -> tuple[int, str]:
        """A command to its end: exit code, and all that it said."""
        options = [*arguments, "--registry", self._address]
        result = await asyncio.to_thread(CliRunner().invoke, commands, options)
        error = result.exception
        if isinstance(error, VoiceFlowError):
            return exit_code(error), result.stdout + "\n".join(error_lines(error))
        if error is not None and not isinstance(error, SystemExit):
            raise error
        return result.exit_code, result.output

    async def promote(self, version: str, *, canary: str = "") -> int:
        """Promotes it to the channel; gives the sequence."""
        etag = (await self.client.get_channel(CHANNEL)).etag if self._sequence else ""
        request = promotion(CHANNEL, version, etag=etag)
        if canary:
            request.rollout.canary.pin.version = canary
            request.rollout.canary.percentage = 10.0
        answer = await call(self.registry.PromoteVersion, request)
        self._sequence = answer.promotion.sequence
        return self._sequence

    async def report(self, name: str, serving: int, **more: Any) -> None:
        """A server says what it serves."""
        self._reports += 1
        pod: dict[str, Any] = {
            "name": f"pods/{name}",
            "channel": CHANNEL,
            "desired_sequence": self._sequence,
            "serving_sequence": serving,
            "generations": (
                PodGeneration(
                    generation=1,
                    version=VersionPin(version=V100),
                    state=GenerationState.ACTIVE,
                    role=Role.PRIMARY,
                    streams=17,
                ),
            ),
            "start_time": START,
            "labels": {"colour": name},
        }
        reverts = more.pop("reverts", ())
        outcomes = more.pop("outcomes", ())
        await self.client.report(
            Pod(**pod | more), self._reports, reverts=reverts, outcomes=outcomes
        )

    def revert(self, name: str, sequence: int) -> Revert:
        """A server has left the canary."""
        return Revert(
            name=f"{CHANNEL}/reverts/{uuid.uuid4()}",
            pod=f"pods/{name}",
            sequence=sequence,
            from_version=VersionPin(version=V110),
            role=Role.CANARY,
            cause=Cause.NON_FINITE,
            seen="3 hops",
            allowed="0 hops",
            revert_time=datetime.now(UTC),
        )


@pytest.fixture
async def operator(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Operator]:
    """A registry with two versions, one of which the channel serves."""
    monkeypatch.setattr(fleet_module, "_LOOK_EVERY_SECONDS", 0.02)
    async with running() as (app, registry):
        for version in ("1.0.0", "1.1.0"):
            await publish(registry, package(version))
        address = app.server.address
        async with RegistryClient(address) as client:
            operator = Operator(client, registry, address)
            await operator.promote(V100)
            yield operator


async def test_every_server_is_shown_with_what_it_serves(operator: Operator) -> None:
    """Sequences, versions, roles, states, live streams, labels, and what is out of the ordinary."""
    await operator.report("blue", 1, draining=True)
    await operator.report("green", 0, watch_lost_time=START)
    code, said = await operator.run("fleet", "tones/stable")
    assert code == 0
    head, _, *rows = (line.rstrip() for line in said.splitlines())
    assert head == "tones/stable: 1, 1.0.0: under way"
    blue, green = (next(row for row in rows if row.startswith(name)) for name in ("blue", "green"))
    assert blue.split()[:8] == ["blue", "1", "1", "1.0.0", "primary", "active", "17", "colour=blue"]
    assert blue.endswith("converged, draining")
    assert "under way, out of touch with the registry since" in green
    assert rows[-1] == "  green serves 0 of 1"


async def test_all_of_it_is_told_as_json(operator: Operator) -> None:
    """One document."""
    await operator.report("blue", 0)
    code, said = await operator.run("fleet", "tones/stable", "--json")
    told = json.loads(said)
    assert code == 0
    assert told["newest"]["sequence"] == 1
    assert (told["verdict"], told["reasons"]) == ("under way", ["blue serves 0 of 1"])
    (pod,) = told["pods"]
    assert pod["generations"][0]["streams"] == 17
    assert (pod["standing"], pod["revert"], pod["lost"]) == ("under way", None, False)


async def test_waiting_ends_when_every_server_serves_the_newest(operator: Operator) -> None:
    """Not when one does; every change is told once, though servers report all the time."""
    await operator.report("blue", 0)
    waiting = asyncio.create_task(operator.run("fleet", "tones/stable", "--wait", "--json"))
    await operator.report("green", 0)
    await operator.report("blue", 1)
    for _ in range(20):
        await operator.report("blue", 1)
        await asyncio.wait([waiting], timeout=0.02)
    assert not waiting.done()
    await operator.report("green", 1)
    code, said = await waiting
    lines = [json.loads(line) for line in said.splitlines()]
    assert (code, lines[-1]["verdict"]) == (0, "converged")
    for line in lines:
        for pod in line["pods"]:
            del pod["report_time"]
    assert all(one != other for one, other in pairwise(lines))


async def test_waiting_ends_badly_when_a_server_has_reverted(operator: Operator) -> None:
    """Exit code 1, with what it saw: a script stops there."""
    sequence = await operator.promote(V100, canary=V110)
    await operator.report("blue", sequence)
    revert = operator.revert("green", sequence)
    await operator.report("green", sequence - 1, reverts=[revert])
    code, said = await operator.run("fleet", "tones/stable", "--wait")
    assert code == 1
    assert said.splitlines()[-1] == (
        "voiceflow: green has left 1.1.0 (canary): non finite, 3 hops; allowed is 0 hops (REVERTED)"
    )


async def test_waiting_ends_when_the_time_is_up(operator: Operator) -> None:
    """Exit code 4, with the servers that are behind; with none at all, too."""
    wait = ("fleet", "tones/stable", "--wait", "--timeout", "0.1s")
    code, said = await operator.run(*wait)
    assert code == 4
    assert "no server follows the channel (DEADLINE_EXCEEDED)" in said
    await operator.report("blue", 0)
    code, said = await operator.run(*wait)
    assert code == 4
    assert said.endswith("has not converged after 0.1 s: blue serves 0 of 1 (DEADLINE_EXCEEDED)")


async def test_a_channel_without_promotions_is_not_found(operator: Operator) -> None:
    """Exit code 3, as for every name that is not there."""
    code, said = await operator.run("fleet", "tones/other")
    assert (code, "CHANNEL_NOT_FOUND" in said) == (3, True)


@pytest.mark.parametrize(
    "options", [("--wait", "--watch"), ("--timeout", "1s"), ("--wait", "--timeout", "soon")]
)
async def test_what_does_not_go_together_is_wrong_usage(
    operator: Operator, options: tuple[str, ...]
) -> None:
    """Exit code 2."""
    code, _ = await operator.run("fleet", "tones/stable", *options)
    assert code == 2


def outcomes(version: str, role: Role, failed_streams: int) -> VersionOutcomes:
    """How a version fares in a server."""
    return VersionOutcomes(
        version=version,
        role=role,
        streams=1000,
        hops=100_000,
        speech_seconds=60_000.0,
        turns=5000,
        failed_streams=failed_streams,
        compute_latency_seconds=Histogram(upper_bounds=(0.01,), counts=(100_000, 0), sum=500.0),
    )


async def test_two_versions_are_set_beside_each_other(operator: Operator) -> None:
    """Over all servers; differences that are more than chance are marked."""
    await operator.promote(V100, canary=V110)
    told = [outcomes(V100, Role.PRIMARY, 10), outcomes(V110, Role.CANARY, 300)]
    for name in ("blue", "green"):
        await operator.report(name, 2, outcomes=told)
    command = ("models", "compare", "tones/stable", "tones@1.0.0", "tones@1.1.0")
    code, said = await operator.run(*command)
    assert code == 0
    rows = {row.split("  ")[0]: row for row in said.splitlines()}
    assert rows["pods"].split()[1:] == ["2", "2"]
    assert rows["streams"].split()[1:] == ["2000", "2000"]
    assert rows["failed streams percent"].endswith(" *")
    assert rows["label changes per speech minute"].endswith("too little to tell")
    code, said = await operator.run(*command, "--json")
    assert json.loads(said)["base_pods"] == 2
