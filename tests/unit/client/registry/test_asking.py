"""Requests are repeated where that is safe, changes with the same id; pages come as one list."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import grpc
import pytest

from tests.unit.client.registry.scripted import (
    CHANNEL,
    NOW,
    answering,
    cut,
    promotion,
    refusing,
    scripted,
)
from voiceflow.catalog.channels import Canary, Channel, ChannelPolicy, Rollout, VersionPin
from voiceflow.catalog.gates import Gate, GateResult, Outcome, ValidationReport
from voiceflow.catalog.pods import Pod
from voiceflow.catalog.versions import Model
from voiceflow.client import RegistryClient
from voiceflow.client.registry import ValidationProgress
from voiceflow.client.retry import NO_RETRY
from voiceflow.errors import Conflict, NotFound, Overloaded, Unavailable, VoiceFlowError
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry import (
    GATES,
    channel_to_wire,
    gate_result_to_wire,
    model_to_wire,
    policy_to_wire,
    promotion_to_wire,
    report_to_wire,
    seconds_to_wire,
)

VERSION = "models/tones/versions/1.0.0"
STATE = Channel(
    name=CHANNEL,
    rollout=Rollout(primary=VersionPin(version=VERSION)),
    sequence=4,
    etag="four",
    create_time=NOW,
    update_time=NOW,
)
GOT = pb.GetChannelResponse(channel=channel_to_wire(STATE))
PROMOTED = pb.PromoteVersionResponse(
    channel=channel_to_wire(STATE), promotion=promotion_to_wire(promotion(5))
)
NO_CHANNEL = refusing(NotFound("none", reason="CHANNEL_NOT_FOUND"))


async def test_a_promotion_is_repeated_with_the_same_id_and_etag() -> None:
    """So that a lost reply is answered again, not done again."""
    steps = [cut, cut, answering(PROMOTED)]
    async with scripted(GetChannel=answering(GOT), PromoteVersion=steps) as (script, client):
        channel, promoted = await client.promote(CHANNEL, VERSION, reason="better")
    assert (channel, promoted.sequence) == (STATE, 5)
    requests = script.calls["PromoteVersion"]
    assert [one.etag for one in requests] == ["four"] * 3
    assert len({uuid.UUID(one.request_id) for one in requests}) == 1
    assert len(script.calls["GetChannel"]) == 1


async def test_a_stale_etag_is_told_to_the_caller() -> None:
    """Whoever promoted meanwhile had a reason; nobody decides again but the caller."""
    stale = refusing(Conflict("five", reason="ETAG_STALE"))
    async with scripted(GetChannel=answering(GOT), PromoteVersion=stale) as (script, client):
        with pytest.raises(Conflict):
            await client.promote(CHANNEL, VERSION)
        assert len(script.calls["PromoteVersion"]) == 1


async def test_a_channel_is_made_by_its_first_promotion() -> None:
    """Its etag is empty; the rollout goes out whole."""
    rollout = Rollout(
        primary=VersionPin(version=VERSION),
        canary=Canary(pin=VersionPin(version="models/tones/versions/1.1.0"), percentage=5.0),
    )
    async with scripted(GetChannel=NO_CHANNEL, PromoteVersion=answering(PROMOTED)) as (
        script,
        client,
    ):
        await client.promote(CHANNEL, rollout, expire_time=NOW + timedelta(days=1))
    (request,) = script.calls["PromoteVersion"]
    assert request.etag == ""
    assert request.rollout.canary.percentage == 5.0
    assert request.expire_time.ToDatetime(NOW.tzinfo) == NOW + timedelta(days=1)


async def test_an_etag_that_is_given_is_the_one_that_is_sent() -> None:
    """Nothing is read."""
    async with scripted(GetChannel=cut, PromoteVersion=answering(PROMOTED)) as (script, client):
        await client.promote(CHANNEL, VERSION, etag="three")
    assert script.calls["PromoteVersion"][0].etag == "three"
    assert script.calls["GetChannel"] == []


async def test_a_policy_carries_the_etag_it_was_read_with() -> None:
    """Reading, changing and writing loses nobody's change between."""
    policy = ChannelPolicy(name=f"{CHANNEL}/policy", etag="two", allow_prereleases=True)
    answer = pb.UpdateChannelPolicyResponse(policy=policy_to_wire(policy))
    async with scripted(UpdateChannelPolicy=answering(answer)) as (script, client):
        await client.update_policy(policy, update_mask=["allow_prereleases"])
    (request,) = script.calls["UpdateChannelPolicy"]
    assert request.etag == "two"
    assert list(request.update_mask.paths) == ["allow_prereleases"]


async def test_pages_come_as_one_list() -> None:
    """Each page is asked for with the token of the one before; one page may be asked for twice."""

    def page(number: int, token: str) -> pb.ListModelsResponse:
        model = Model(name=f"models/m{number}", version_count=1, create_time=NOW)
        return pb.ListModelsResponse(models=[model_to_wire(model)], next_page_token=token)

    steps = [answering(page(1, "a")), cut, answering(page(2, "b")), answering(page(3, ""))]
    async with scripted(ListModels=steps) as (script, client):
        names = [model.name async for model in client.list_models(name_prefix="models/m")]
    assert names == ["models/m1", "models/m2", "models/m3"]
    asked = [(one.page_token, one.name_prefix) for one in script.calls["ListModels"]]
    assert asked == [("", "models/m"), ("a", "models/m"), ("a", "models/m"), ("b", "models/m")]


async def test_a_report_is_sent_once() -> None:
    """The next one says more than this one repeated."""
    pod = Pod(name="pods/a", channel=CHANNEL, start_time=NOW)
    answer = pb.ReportServingResponse(report_again_after=seconds_to_wire(7.5))
    async with scripted(ReportServing=[cut, answering(answer)]) as (script, client):
        with pytest.raises(Unavailable):
            await client.report(pod, 1)
        assert await client.report(pod, 2) == 7.5
        assert [one.report_number for one in script.calls["ReportServing"]] == [1, 2]


async def test_a_registry_that_is_not_there_is_one_clear_error() -> None:
    """With its address."""
    async with RegistryClient("127.0.0.1:1", retry=NO_RETRY) as client:
        with pytest.raises(Unavailable, match=r"registry at 127\.0\.0\.1:1 cannot be reached"):
            await client.get_model("models/tones")


async def test_a_registry_that_does_not_answer_is_not_waited_for() -> None:
    """The message says how long it had."""

    async def never(_request: Any, _context: Any) -> None:
        await asyncio.Event().wait()

    async with scripted(GetModel=never) as (_, client):
        client._connection._timeout_seconds = 0.05
        with pytest.raises(VoiceFlowError, match=r"within 0\.05 s") as caught:
            await client.get_model("models/tones")
    assert caught.value.reason == "DEADLINE_EXCEEDED"


async def test_a_busy_registry_is_asked_again_when_it_says() -> None:
    """Unless that is later than the caller's patience lasts."""
    model = Model(name="models/m", version_count=1, create_time=NOW)
    answer = pb.GetModelResponse(model=model_to_wire(model))
    busy = refusing(Overloaded("busy", reason="OVERLOADED", retry_after_seconds=0.001))
    async with scripted(GetModel=[busy, answering(answer)]) as (_, client):
        assert await client.get_model("models/m") == model
    later = refusing(Overloaded("busy", reason="OVERLOADED", retry_after_seconds=60.0))
    async with scripted(GetModel=later) as (script, client):
        with pytest.raises(Overloaded):
            await client.get_model("models/m")
        assert len(script.calls["GetModel"]) == 1


REPORT = ValidationReport(
    manifest_digest="sha256:" + 64 * "0",
    passed=True,
    gates=(),
    start_time=NOW,
    end_time=NOW,
    software_version="0",
    runtime_version="0",
)


async def test_a_run_of_the_gates_is_told_once_over_a_cut() -> None:
    """The run begins anew with the same id; a gate that was told is not told again."""

    def started(gate: Gate) -> pb.ValidateVersionResponse:
        return pb.ValidateVersionResponse(gate_started=GATES.to_wire(gate))

    def ended(gate: Gate) -> pb.ValidateVersionResponse:
        result = GateResult(gate=gate, outcome=Outcome.PASSED)
        return pb.ValidateVersionResponse(gate_result=gate_result_to_wire(result))

    def running(*replies: pb.ValidateVersionResponse, then: Any = cut) -> Any:
        async def step(request: Any, context: Any) -> None:
            for reply in replies:
                await context.write(reply)
            if then is not None:
                await then(request, context)

        return step

    first = [started(Gate.MANIFEST), ended(Gate.MANIFEST), started(Gate.GRAPH)]
    last = [ended(Gate.GRAPH), pb.ValidateVersionResponse(report=report_to_wire(REPORT))]
    steps = [running(*first), running(*first[:1]), running(*first, *last, then=None)]
    seen: list[ValidationProgress] = []
    async with scripted(ValidateVersion=steps) as (script, client):
        async for event in client.validate(VERSION, channel=CHANNEL):
            seen.append(event)  # noqa: PERF401 - read as it comes
        requests = script.calls["ValidateVersion"]
    assert [type(event).__name__ for event in seen] == [
        *("Gate", "GateResult", "Gate", "GateResult"),
        "ValidationReport",
    ]
    assert len({one.request_id for one in requests}) == 1
    assert {one.channel for one in requests} == {CHANNEL}


async def test_errors_that_grpc_makes_up_for_a_cut_are_cuts() -> None:
    """A server that dies in the middle is as good as one that says so."""

    async def cancelled(_request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.CANCELLED, "")

    model = Model(name="models/m", version_count=1, create_time=NOW)
    answer = pb.GetModelResponse(model=model_to_wire(model))
    async with scripted(GetModel=[cancelled, answering(answer)]) as (_, client):
        assert await client.get_model("models/m") == model
