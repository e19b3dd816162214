"""Runs of the gates over the wire: told as they go, answered again, ended by who leaves."""

from __future__ import annotations

import asyncio
import threading

from tests.fakes.publishing import ScriptedGates, finding, package
from tests.fakes.registry import call, eventually, failure, promotion, publish, running
from tests.fakes.unread import unread
from tests.integration.registry.seeded import UUIDS
from voiceflow.catalog.audit import CANCELLED
from voiceflow.catalog.gates import Gate
from voiceflow.errors import Overloaded
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.registry.v1 import registry_pb2_grpc as pb_grpc

MADE = package()
NAME = str(MADE.name)
CHANNEL = "models/tones/channels/stable"


class Held:
    """Gates that wait where they are told to."""

    def __init__(self) -> None:
        self.waiting = threading.Event()
        self.released = threading.Event()
        self.gates = ScriptedGates()

    def hold(self, gate: Gate) -> None:
        """From now on, waits when this gate begins."""

        def before(begun: Gate) -> None:
            if begun is gate:
                self.waiting.set()
                assert self.released.wait(30.0)

        self.gates.before = before


async def reports(registry: pb_grpc.ModelRegistryStub) -> list[pb.ValidationReport]:
    """All stored runs of the version, newest first."""
    response = await call(registry.ListValidations, pb.ListValidationsRequest(parent=NAME))
    return list(response.reports)


async def test_a_run_is_told_gate_by_gate() -> None:
    """A gate's start, its result, the next; at last the report, which can be read again."""
    gates = ScriptedGates()
    async with running(gates=gates) as (_, registry):
        await publish(registry, MADE)
        gates.failing = {Gate.BEHAVIOUR: finding("behaviour.not-finite")}
        request = pb.ValidateVersionRequest(
            name=NAME, gates=[pb.GATE_BEHAVIOUR, pb.GATE_GRAPH], request_id=UUIDS[0]
        )
        *progress, last = await call(registry.ValidateVersion, request)
        assert [step.WhichOneof("progress") for step in progress] == [
            "gate_started",
            "gate_result",
        ] * 2
        assert [step.gate_started for step in progress[::2]] == [pb.GATE_GRAPH, pb.GATE_BEHAVIOUR]
        assert [step.gate_result for step in progress[1::2]] == list(last.report.gates)
        assert not last.report.passed
        assert last.report.gates[1].findings[0].rule_id == "behaviour.not-finite"

        read = await call(registry.GetValidation, pb.GetValidationRequest(name=last.report.name))
        assert read.report == last.report
        assert (await reports(registry))[0] == last.report
        runs = gates.runs
        again = await call(registry.ValidateVersion, request)
        assert [step.WhichOneof("progress") for step in again] == ["report"]
        assert again[0].report == last.report
        assert gates.runs == runs


async def test_a_channel_sets_what_is_allowed_and_compared_with() -> None:
    """The channel's gates are run, under its policy, against its primary."""
    async with running() as (_, registry):
        await publish(registry, MADE)
        await publish(registry, package("1.1.0"))
        await call(registry.PromoteVersion, promotion(CHANNEL, NAME))
        policy = pb.ChannelPolicy(name=f"{CHANNEL}/policy", demanded_gates=[pb.GATE_COST])
        etag = (
            await call(registry.GetChannelPolicy, pb.GetChannelPolicyRequest(name=policy.name))
        ).policy.etag
        await call(
            registry.UpdateChannelPolicy, pb.UpdateChannelPolicyRequest(policy=policy, etag=etag)
        )
        request = pb.ValidateVersionRequest(name=str(package("1.1.0").name), channel=CHANNEL)
        *_, last = await call(registry.ValidateVersion, request)
        assert [result.gate for result in last.report.gates] == [pb.GATE_COST]
        assert last.report.baseline_version == NAME
        assert (last.report.channel, last.report.policy_sequence) == (CHANNEL, 1)


async def test_who_leaves_ends_the_run() -> None:
    """A caller that leaves in the midst of a gate: no later gate is run, no report is stored."""
    held = Held()
    async with running(gates=held.gates, validations=1) as (_, registry):
        await publish(registry, MADE)
        before = await reports(registry)
        held.hold(Gate.GRAPH)
        begun: list[Gate] = []
        hold = held.gates.before
        held.gates.before = lambda gate: (begun.append(gate), hold(gate))[1]  # type: ignore[func-returns-value]
        leaving = asyncio.ensure_future(
            call(registry.ValidateVersion, pb.ValidateVersionRequest(name=NAME))
        )
        await asyncio.to_thread(held.waiting.wait, 30.0)
        full = await failure(registry.ValidateVersion, pb.ValidateVersionRequest(name=NAME))
        assert isinstance(full, Overloaded)
        assert full.retry_after_seconds > 0
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        held.released.set()

        async def free() -> bool:  # its place is free once the run has ended
            held.gates.before = lambda _: None
            request = pb.ValidateVersionRequest(name=NAME, gates=[pb.GATE_MANIFEST])
            try:
                await call(registry.ValidateVersion, request)
            except Exception:  # noqa: BLE001 - full, as before
                return False
            return True

        assert await eventually(free)
        assert begun[-1] is Gate.GRAPH
        assert len(await reports(registry)) == len(before) + 1


async def test_runs_that_are_left_unread_do_not_hold_their_places() -> None:
    """Two such callers, who go on to answer pings, would keep everybody from validating."""
    method = "/voiceflow.registry.v1.ModelRegistry/ValidateVersion"
    request = pb.ValidateVersionRequest(name=NAME, request_id=UUIDS[0])
    async with running(publish_idle_seconds=0.2, validations=2) as (app, registry):
        await publish(registry, MADE)
        before = len(await reports(registry))

        async def told(reasons: set[str]) -> bool:
            entries = await call(
                registry.ListAuditEntries,
                pb.ListAuditEntriesRequest(filter=pb.AuditFilter(method="ValidateVersion")),
            )
            return {entry.refusal_reason for entry in entries.entries} == reasons

        async with unread(app.server.address, method, request, calls=2):
            await eventually(lambda: told({CANCELLED}))
            assert len(await reports(registry)) == before
            assert (await call(registry.ValidateVersion, request))[-1].report.passed


async def test_a_registry_that_stops_lets_runs_and_publishes_end() -> None:
    """Within the grace period both are answered; nothing new is let in meanwhile."""
    held = Held()
    async with running(gates=held.gates, grace_seconds=30.0) as (app, registry):
        await publish(registry, MADE)
        held.hold(Gate.GRAPH)
        run = asyncio.ensure_future(
            call(registry.ValidateVersion, pb.ValidateVersionRequest(name=NAME))
        )
        await asyncio.to_thread(held.waiting.wait, 30.0)
        held.waiting.clear()
        publishing = asyncio.ensure_future(publish(registry, package("2.0.0")))
        await asyncio.to_thread(held.waiting.wait, 30.0)
        stopping = asyncio.ensure_future(app.server.drain())

        async def refuses() -> bool:
            request = pb.ValidateVersionRequest(name="models/tones/versions/9.0.0")
            return (await failure(registry.ValidateVersion, request)).reason == "SHUTTING_DOWN"

        assert await eventually(refuses)
        assert not stopping.done()
        held.released.set()
        assert (await run)[-1].report.passed
        assert (await publishing).report.passed
        await stopping
