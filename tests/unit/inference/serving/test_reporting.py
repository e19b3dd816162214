"""A pod tells its registry what it serves and has left, and nothing that it answers harms it."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from tests.fakes.simulated_registry import SimulatedRegistry, serving
from tests.fakes.trust import CHANNEL, pin
from voiceflow.catalog.channels import Role
from voiceflow.catalog.names import PodName
from voiceflow.catalog.pods import Cause, GenerationState, Revert, VersionOutcomes
from voiceflow.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    Unauthenticated,
    Unavailable,
    VoiceFlowError,
)
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc.registry import pod_from_wire, revert_from_wire
from voiceflow_inference.serving import reporting
from voiceflow_inference.serving.alarms import Alarms
from voiceflow_inference.serving.download import Registry
from voiceflow_inference.serving.reporting import (
    MAXIMUM_GENERATIONS,
    MAXIMUM_REVERTS,
    Identity,
    Reporter,
    pod_of,
)
from voiceflow_inference.serving.state import Failure, GenerationView, Snapshot

START = datetime(2026, 1, 1, tzinfo=UTC)
IDENTITY = Identity(PodName("blue-1"), CHANNEL, START, "0.1.0", {"colour": "blue"})
V1, V2 = pin("1.0.0"), pin("2.0.0")
SERVING = Snapshot(
    0.0,
    generations=(
        GenerationView(1, V1, GenerationState.ACTIVE, Role.PRIMARY, assigned=True, streams=3),
        GenerationView(2, V2, GenerationState.WARMING, Role.CANARY),
    ),
    desired_sequence=7,
    serving_sequence=6,
)


class Manager:
    """What is to be reported, as a test says."""

    def __init__(self) -> None:
        self.now = SERVING
        self.acknowledged: list[str] = []
        self.looks = 0

    def snapshot(self) -> Snapshot:
        """As it was set."""
        self.looks += 1
        return self.now

    def outcomes(self) -> Sequence[VersionOutcomes]:
        """Of one version."""
        return [VersionOutcomes(version=V1.version, role=Role.PRIMARY, streams=5, hops=50)]

    def acknowledge(self, names: Collection[str]) -> None:
        """They are not told again."""
        self.acknowledged += names
        left = [one for one in self.now.reverts if one.name not in names]
        self.now = dataclasses.replace(self.now, reverts=left)

    def change(self, **fields: Any) -> None:
        """Something happens."""
        self.now = dataclasses.replace(self.now, **fields)


class Watch:
    """The registry's watch stands, or does not."""

    watch_lost_time: datetime | None = None


class Pod:
    """A pod that reports.

    Attributes:
        registry: That it reports to.
        manager: What it does.
        watch: Whether it is told of promotions.
        alarms: Of reporting.
        task: Of the reporter.
    """

    def __init__(self, registry: SimulatedRegistry, address: str) -> None:
        self.registry = registry
        self.manager = Manager()
        self.watch = Watch()
        self.alarms = Alarms()
        target = Registry(address, None, 1.0)
        reporter = Reporter(target, IDENTITY, self.manager, self.watch, self.alarms)
        self.task = asyncio.create_task(reporter.run())

    async def told(self, seen: Callable[[pb.ReportServingRequest], object]) -> None:
        """Waits for a report of which something is so."""
        await self.until(lambda: any(seen(report) for report in self.registry.reports))

    async def until(self, seen: Callable[[], object]) -> None:
        """Waits until something is so; the reporter must live on."""
        async with asyncio.timeout(30):
            while not seen():
                assert not self.task.done()
                await asyncio.sleep(0.005)


@pytest.fixture
async def pod(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pod]:
    """It reports to a registry that wants no report for an hour, and tries soon again."""
    monkeypatch.setattr(reporting, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(reporting, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(reporting, "LEAST_SECONDS", 0.05)
    registry = SimulatedRegistry()
    async with serving(registry) as address, reporting_pod(registry, address) as pod:
        yield pod


@asynccontextmanager
async def reporting_pod(registry: SimulatedRegistry, address: str) -> AsyncIterator[Pod]:
    """Reports while the block runs."""
    pod = Pod(registry, address)
    try:
        yield pod
    finally:
        pod.task.cancel()
        with suppress(asyncio.CancelledError):
            await pod.task


def revert(number: int = 0) -> Revert:
    """Of the canary."""
    return Revert(
        name=f"{CHANNEL}/reverts/{uuid.UUID(int=number)}",
        pod=str(IDENTITY.name),
        sequence=7,
        from_version=V2,
        to_version=V1,
        role=Role.CANARY,
        cause=Cause.NON_FINITE,
        revert_time=START,
    )


# What is said


def test_a_pod_says_what_it_serves_and_what_it_could_not_take() -> None:
    """Every generation, and every version that failed, with the reason."""
    failure = Failure(3, 7, pin("3.0.0"), Role.SHADOW, "MODEL_CRASHED", "x" * 5000)
    snapshot = dataclasses.replace(SERVING, failures=(failure,), draining=True)
    said = pod_of(IDENTITY, snapshot, START)
    assert (said.name, said.channel) == ("pods/blue-1", str(CHANNEL))
    assert (said.desired_sequence, said.serving_sequence, said.draining) == (7, 6, True)
    assert (said.watch_lost_time, said.start_time) == (START, START)
    assert (said.software_version, said.labels) == ("0.1.0", {"colour": "blue"})
    seen = [(one.generation, one.version, one.state, one.role) for one in said.generations]
    assert seen == [
        (1, V1, GenerationState.ACTIVE, Role.PRIMARY),
        (2, V2, GenerationState.WARMING, Role.CANARY),
        (3, pin("3.0.0"), GenerationState.FAILED, Role.SHADOW),
    ]
    assert [one.streams for one in said.generations] == [3, 0, 0]
    assert (said.generations[2].reason, len(said.generations[2].message)) == ("MODEL_CRASHED", 1024)


def test_of_many_generations_the_last_are_told() -> None:
    """As many as a report may hold."""
    many = tuple(
        Failure(number, 7, V2, Role.CANARY, "MODEL_CRASHED", "again") for number in range(100)
    )
    said = pod_of(IDENTITY, Snapshot(0.0, failures=many), None)
    assert [one.generation for one in said.generations] == [*range(100 - MAXIMUM_GENERATIONS, 100)]


async def test_a_pod_reports_at_once(pod: Pod) -> None:
    """Its state, and how its versions fare; by number."""
    await pod.told(lambda _: True)
    (first,) = pod.registry.reports
    assert first.report_number == 1
    assert pod_from_wire(first.pod) == pod_of(IDENTITY, SERVING, None)
    assert [(one.version, one.hops) for one in first.outcomes] == [(V1.version, 50)]


async def test_a_change_is_reported_soon(pod: Pod) -> None:
    """Long before the registry asks again; how many streams there are is none."""
    await pod.told(lambda _: True)
    one, two = SERVING.generations
    pod.manager.change(generations=(dataclasses.replace(one, streams=4), two))
    seen = pod.manager.looks
    await pod.until(lambda: pod.manager.looks > seen + 20)
    assert len(pod.registry.reports) == 1
    pod.manager.change(serving_sequence=7)
    await pod.told(lambda report: report.pod.serving_sequence == 7)
    pod.watch.watch_lost_time = START
    await pod.told(lambda report: report.pod.HasField("watch_lost_time"))
    assert [report.report_number for report in pod.registry.reports] == [1, 2, 3]


async def test_streams_alone_are_told_when_it_is_time(pod: Pod) -> None:
    """At the interval that the registry asks for."""
    asked = iter([Duration(seconds=3600), *[Duration(nanos=1)] * 1000])

    async def answer(*_: Any) -> pb.ReportServingResponse:
        return pb.ReportServingResponse(report_again_after=next(asked))

    pod.registry.answers["ReportServing"] = answer
    await pod.told(lambda _: True)
    one, two = SERVING.generations
    pod.manager.change(generations=(dataclasses.replace(one, streams=4), two))
    pod.manager.change(desired_sequence=8)
    await pod.told(lambda report: report.report_number == 2)
    begun = asyncio.get_running_loop().time()
    await pod.told(lambda report: report.report_number == 5)
    seconds = asyncio.get_running_loop().time() - begun
    assert seconds >= 2 * reporting.LEAST_SECONDS  # however soon the registry wants it again


async def test_a_revert_is_told_until_it_is_acknowledged(pod: Pod) -> None:
    """Soon, and again while the registry is away; then never again."""
    await pod.told(lambda _: True)
    pod.registry.answers["ReportServing"] = refusing(Unavailable("away", reason="SHUTTING_DOWN"))
    pod.manager.change(reverts=[revert()])
    await pod.until(lambda: sum(bool(report.reverts) for report in pod.registry.reports) > 2)
    assert pod.manager.acknowledged == []
    del pod.registry.answers["ReportServing"]
    await pod.until(lambda: pod.manager.acknowledged == [revert().name])
    assert [revert_from_wire(one) for one in pod.registry.reports[-1].reverts] == [revert()]
    pod.manager.change(desired_sequence=9)
    await pod.told(lambda report: report.pod.desired_sequence == 9)
    assert not pod.registry.reports[-1].reverts


async def test_many_reverts_are_told_in_several_reports(pod: Pod) -> None:
    """Each takes as many as the registry does."""
    await pod.told(lambda _: True)
    pod.manager.change(reverts=[revert(number) for number in range(MAXIMUM_REVERTS + 20)])
    await pod.until(lambda: len(pod.manager.acknowledged) == MAXIMUM_REVERTS + 20)
    sizes = [len(report.reverts) for report in pod.registry.reports if report.reverts]
    assert sizes == [MAXIMUM_REVERTS, 20]


# What may be answered


def refusing(error: VoiceFlowError) -> Any:
    """A registry that takes no report."""

    async def answer(*_: Any) -> None:
        raise error

    return answer


async def endless(*_: Any) -> None:
    """A registry that never answers."""
    await asyncio.Event().wait()


async def garbage(*_: Any) -> bytes:
    """What no message is."""
    return b"\xff" * 100


async def nothing(*_: Any) -> pb.ReportServingResponse:
    """An answer that says nothing."""
    return pb.ReportServingResponse()


@pytest.mark.parametrize(
    ("answer", "alarm"),
    [
        (refusing(Unavailable("away", reason="SHUTTING_DOWN")), None),
        (refusing(Conflict("outdated", reason="REPORT_OUTDATED")), None),
        (refusing(VoiceFlowError("a defect", reason="INTERNAL")), None),
        (refusing(Forbidden("another pod", reason="POD_NOT_CALLER")), "POD_NOT_CALLER"),
        (refusing(Unauthenticated("who?", reason="CREDENTIALS_EXPIRED")), "CREDENTIALS_EXPIRED"),
        (refusing(InvalidInput("labels", reason="FIELD_INVALID")), "FIELD_INVALID"),
        (garbage, None),
        (nothing, None),
    ],
)
async def test_whatever_the_registry_answers_it_is_told_again(
    pod: Pod,
    answer: Any,
    alarm: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Logged once; an alarm where somebody has to see to it, as long as that is so."""
    pod.registry.answers["ReportServing"] = answer
    before = len(pod.registry.reports)
    await pod.until(lambda: len(pod.registry.reports) > before + 3)
    raised = {subject: one.reason for subject, one in pod.alarms.raised.items()}
    assert raised == ({} if alarm is None else {"report": alarm})
    said = [one for one in caplog.records if "takes no report" in one.getMessage()]
    assert len(said) <= 1
    del pod.registry.answers["ReportServing"]
    seen = len(pod.registry.reports)
    await pod.until(lambda: len(pod.registry.reports) > seen and not pod.alarms.raised)


async def test_an_answer_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next report says more, anyway."""
    monkeypatch.setattr(reporting, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(reporting, "PAUSE_SECONDS", 0.05)
    registry = SimulatedRegistry()
    registry.answers["ReportServing"] = endless
    async with serving(registry) as address, reporting_pod(registry, address) as pod:
        await pod.told(lambda report: report.report_number == 3)
        assert pod.alarms.raised == {}


async def test_what_is_refused_of_a_report_does_not_hide_what_the_pod_serves(pod: Pod) -> None:
    """As a revert of a promotion that a registry, set back to an older copy, does not know."""

    async def refuse_reverts(request: pb.ReportServingRequest, _: Any) -> pb.ReportServingResponse:
        if request.reverts:
            raise InvalidInput("reverts[0].sequence: 7", reason="FIELD_INVALID")
        return pb.ReportServingResponse(report_again_after=Duration(seconds=3600))

    pod.registry.answers["ReportServing"] = refuse_reverts
    await pod.told(lambda _: True)
    pod.manager.change(reverts=[revert()], serving_sequence=7)
    await pod.told(lambda one: one.pod.serving_sequence == 7 and not one.reverts)
    assert pod.manager.acknowledged == []
    assert pod.alarms.raised["report"].reason == "FIELD_INVALID"


async def test_a_defect_here_ends_no_reports(pod: Pod, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and reporting goes on."""
    await pod.told(lambda _: True)
    good = pod.manager.now
    pod.manager.now = None  # type: ignore[assignment]
    await pod.until(lambda: "the pod cannot be reported" in caplog.text)
    pod.manager.now = dataclasses.replace(good, desired_sequence=11)
    await pod.told(lambda report: report.pod.desired_sequence == 11)
