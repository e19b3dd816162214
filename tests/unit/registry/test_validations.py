"""Runs of the gates: what is run, what is kept of it, and what counts for a promotion."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.memory_store import MemoryStore
from tests.fakes.publishing import PUBLISHER, START, Clock, Replica, ScriptedGates, finding, package
from tests.fakes.storage import Crashed, Fault, FaultyStore
from voiceflow.catalog.channels import ChannelPolicy
from voiceflow.catalog.gates import (
    AccuracyBudget,
    CostBudget,
    Gate,
    GateResult,
    Outcome,
    ValidationReport,
)
from voiceflow.catalog.names import ChannelName, ValidationName
from voiceflow.errors import InvalidInput, NotAllowedNow, NotFound, Overloaded
from voiceflow.identity.caller import Caller
from voiceflow_registry.storage.object_store import StoreUnavailable
from voiceflow_registry.validations import MEASURED_GATES, Validations

CHANNEL = ChannelName("tones", "stable")
OTHER = ChannelName("tones", "canary")
VALIDATOR = Caller("spiffe://test/validator")
NAME = package().name
UNMEASURED = set(Gate) - MEASURED_GATES


def policy(channel: ChannelName = CHANNEL, **fields: Any) -> ChannelPolicy:
    """A channel's policy."""
    return ChannelPolicy(name=channel.policy, **fields)


def events(
    replica: Replica,
    *,
    gates: Sequence[Gate] = (),
    channel: ChannelName | None = None,
    request_id: str = "",
    version: str = "1.0.0",
    baseline: str = "",
    **fields: Any,
) -> Iterator[Gate | GateResult | ValidationReport]:
    """A run's events."""
    return replica.validations.run(
        VALIDATOR,
        package(version).name,
        gates=gates,
        policy=policy(channel or CHANNEL, **fields),
        channel=channel,
        baseline=package(baseline).name if baseline else None,
        request_id=request_id,
    )


def run(replica: Replica, **asked: Any) -> ValidationReport:
    """A run's report."""
    *_, last = events(replica, **asked)
    assert isinstance(last, ValidationReport)
    return last


def reports(replica: Replica, channel: ChannelName | None = None) -> Sequence[ValidationReport]:
    """All stored reports, newest first."""
    return replica.validations.list(NAME, channel=channel, page_size=0, page_token="").items


@pytest.fixture
def replica() -> Replica:
    """A registry of 1.0.0 and 1.1.0."""
    replica = Replica(MemoryStore(), clock=Clock())
    replica.publish(package())
    replica.publish(package("1.1.0"))
    return replica


def test_a_run_tells_each_gate_its_result_and_the_stored_report(replica: Replica) -> None:
    """The report is found again under its name, and is what the gates said."""
    told = list(events(replica, gates=[Gate.GRAPH, Gate.MANIFEST], channel=CHANNEL))
    assert [type(event) for event in told] == [Gate, GateResult, Gate, GateResult, ValidationReport]
    assert told[0] is Gate.MANIFEST
    report = told[-1]
    assert isinstance(report, ValidationReport)
    assert report.passed
    assert [result.gate for result in report.gates] == [Gate.MANIFEST, Gate.GRAPH]
    assert report.channel == str(CHANNEL)
    assert report.principal == VALIDATOR.principal
    assert report.manifest_digest == replica.versions.record(NAME).manifest_digest
    assert replica.validations.get(ValidationName.parse(report.name)) == report


def test_a_gate_that_fails_is_a_result_and_its_report_is_kept(replica: Replica) -> None:
    """A failed run is no error."""
    replica.gates.failing[Gate.COST] = finding("cost.model-size")
    report = run(replica, gates=[Gate.COST])
    assert not report.passed
    assert report.gates[0].outcome is Outcome.FAILED
    assert report in reports(replica)


def test_without_gates_named_the_policys_are_run_or_all(replica: Replica) -> None:
    """All means those that can be run here: without an evaluation set, all but accuracy."""
    demanded = (Gate.CONTRACT, Gate.BEHAVIOUR)
    report = run(replica, channel=CHANNEL, demanded_gates=demanded)
    assert tuple(result.gate for result in report.gates) == demanded
    everything = tuple(gate for gate in Gate if gate is not Gate.ACCURACY)
    for asked in ({"channel": CHANNEL}, {"demanded_gates": demanded}):
        assert tuple(result.gate for result in run(replica, **asked).gates) == everything
    with_set = Replica(replica.store)
    with_set.validations = Validations(
        with_set.store,
        with_set.versions,
        with_set.gates,
        with_set.clock,
        software_version="0.1.0",
        has_evaluation_set=True,
    )
    assert tuple(result.gate for result in run(with_set).gates) == tuple(Gate)


def test_the_baseline_is_fetched_for_the_gates_that_measure_alone(replica: Replica) -> None:
    """And a version is not compared with itself."""
    report = run(replica, version="1.1.0", gates=[Gate.COST], baseline="1.0.0")
    assert replica.gates.baseline is not None
    assert replica.gates.baseline.name == report.baseline_version == str(NAME)
    assert replica.gates.baseline.manifest == package().manifest
    for asked in (
        {"version": "1.1.0", "gates": [Gate.BEHAVIOUR], "baseline": "1.0.0"},
        {"version": "1.0.0", "gates": [Gate.COST], "baseline": "1.0.0"},
    ):
        assert run(replica, **asked).baseline_version == ""
        assert replica.gates.baseline is None


def test_a_caller_that_leaves_ends_the_run_and_stores_nothing(replica: Replica) -> None:
    """At whichever event it leaves, the place is free again."""
    before = len(reports(replica))
    for count in range(4):
        running = events(replica, gates=[Gate.MANIFEST, Gate.GRAPH])
        for _ in range(count):
            next(running)
        assert isinstance(running, Generator)
        running.close()
    assert len(reports(replica)) == before
    run(replica)


def test_with_the_request_id_of_a_run_that_ended_its_report_is_answered_at_once(
    replica: Replica,
) -> None:
    """By another replica too, and though the index may lack it."""
    request_id = str(uuid.uuid4())
    asked: dict[str, Any] = {"gates": [Gate.GRAPH], "request_id": request_id}
    report = run(replica, **asked)
    other = Replica(replica.store)
    assert list(events(other, **asked)) == [report]
    for info in list(replica.store.list("requests/")):
        replica.store.delete(info.key, if_generation=info.generation)
    assert list(events(other, **asked)) == [report]
    assert other.gates.runs == 0
    with pytest.raises(InvalidInput) as caught:
        run(other, gates=[Gate.MANIFEST], request_id=request_id)
    assert caught.value.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.LOSE_REPLY])
def test_r41_a_run_that_dies_at_any_operation_is_run_or_answered_again(fault: Fault) -> None:
    """A retry gets one report, and no other report of that request is ever listed beside it."""
    for number in range(1, 100):
        store = MemoryStore()
        replica = Replica(store, clock=Clock())
        replica.publish(package())
        asked: dict[str, Any] = {"gates": [Gate.GRAPH], "request_id": str(uuid.uuid4())}
        faulty = FaultyStore(store, {number: fault})
        with suppress(Crashed, StoreUnavailable):
            run(Replica(faulty, clock=Clock()), **asked)
        report = run(Replica(store, clock=Clock()), **asked)
        mine = [other for other in reports(replica) if other.principal == VALIDATOR.principal]
        assert mine == [report]
        assert run(Replica(store), **asked) == report
        if len(faulty.operations) < number:
            return
    raise AssertionError("the run never came through")


@pytest.mark.parametrize("seconds_apart", [0.0, 1.0])
def test_two_runs_at_once_for_one_request_answer_the_same(
    replica: Replica, seconds_apart: float
) -> None:
    """What was noted first is the answer of both, though both began in the same millisecond."""
    together = threading.Barrier(2, timeout=60)

    def meet(_: Gate) -> None:
        together.wait()

    gates = ScriptedGates(before=meet)
    request_id = str(uuid.uuid4())

    def one(number: int) -> ValidationReport:
        # A tenth of a millisecond apart at least: the two reports are never equal.
        clock = Clock(START + timedelta(seconds=number * (seconds_apart + 1e-4)))
        other = Replica(replica.store, gates=gates, clock=clock)
        return run(other, gates=[Gate.GRAPH], request_id=request_id)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(one, range(2))
    assert first == second


def test_more_runs_than_allowed_at_once_are_refused_with_a_time(replica: Replica) -> None:
    """And taken again once one has ended."""
    running = [events(replica) for _ in range(2)]
    for one in running:
        next(one)
    with pytest.raises(Overloaded, match="2 validations are running") as caught:
        run(replica)
    assert caught.value.reason == "OVERLOADED"
    assert caught.value.retry_after_seconds > 0
    list(running[0])
    run(replica)
    list(running[1])


def test_what_is_not_there_cannot_be_run(replica: Replica) -> None:
    """Never published, deleted, and reports that are none."""
    with pytest.raises(NotFound) as missing:
        run(replica, version="9.9.9")
    assert missing.value.reason == "VERSION_NOT_FOUND"
    with pytest.raises(NotFound) as missing:
        replica.validations.get(ValidationName(NAME, "none"))
    assert missing.value.reason == "VALIDATION_NOT_FOUND"
    replica.versions.yank(PUBLISHER, NAME, reason="x", request_id="", validate_only=False)
    run(replica)
    replica.versions.delete(
        PUBLISHER, NAME, request_id="", validate_only=False, in_use=lambda _: ()
    )
    with pytest.raises(NotAllowedNow) as deleted:
        run(replica)
    assert deleted.value.reason == "VERSION_DELETED"
    assert reports(replica)


def test_reports_are_listed_newest_first_and_by_channel() -> None:
    """Page by page; a run that ends between two pages does no harm."""
    clock = Clock()
    replica = Replica(MemoryStore(), clock=clock)
    replica.publish(package())
    made = []
    for number in range(5):
        clock.forward(1)
        made.append(run(replica, channel=OTHER if number % 2 else CHANNEL))
    publishing = reports(replica)[-1]
    assert list(reports(replica)) == [*reversed(made), publishing]
    assert list(reports(replica, OTHER)) == [made[3], made[1]]
    found: list[ValidationReport] = []
    token = ""
    while True:
        page = replica.validations.list(NAME, channel=None, page_size=2, page_token=token)
        found += page.items
        token = page.next_page_token
        clock.forward(1)
        run(replica)
        if not token:
            break
    assert found == [*reversed(made), publishing]


def passed(replica: Replica, channel: ChannelName = CHANNEL, **fields: Any) -> set[Gate]:
    """What counts for a promotion of 1.0.0."""
    return replica.validations.passed(
        replica.versions.record(NAME), policy=policy(channel, **fields), channel=channel
    )


def test_gates_that_no_budget_changes_count_from_any_run(replica: Replica) -> None:
    """Publishing's own, and those run for another channel or none."""
    assert passed(replica) == {Gate.MANIFEST, Gate.GRAPH, Gate.CONTRACT}
    run(replica, gates=[Gate.BEHAVIOUR], channel=OTHER)
    assert passed(replica) == UNMEASURED


def test_cost_and_accuracy_count_for_their_channel_and_its_budgets_alone(
    replica: Replica,
) -> None:
    """Another channel's run, none's, or one under other budgets says nothing here."""
    budget: dict[str, Any] = {"cost_budget": CostBudget(call_p99_seconds=0.1)}
    run(replica, gates=list(MEASURED_GATES), channel=OTHER, **budget)
    run(replica, gates=list(MEASURED_GATES), **budget)
    assert not passed(replica, **budget) & MEASURED_GATES
    run(replica, gates=list(MEASURED_GATES), channel=CHANNEL, sequence=3, **budget)
    assert replica.gates.budgets.cost.call_p99_seconds == 0.1
    assert passed(replica, **budget) >= MEASURED_GATES
    assert passed(replica, sequence=7, allow_prereleases=True, **budget) >= MEASURED_GATES
    others: list[dict[str, Any]] = [
        {"cost_budget": CostBudget(call_p99_seconds=0.05)},
        {"cost_budget": CostBudget(call_p99_seconds=0.2)},
        {"accuracy_budget": AccuracyBudget(der_percent=20.0), **budget},
    ]
    for changed in others:
        assert not passed(replica, **changed) & MEASURED_GATES


def test_a_gate_that_failed_or_was_skipped_does_not_count(replica: Replica) -> None:
    """And one that has passed in an earlier run still does."""
    replica.gates.failing[Gate.BEHAVIOUR] = finding("behaviour.golden")
    run(replica, gates=[Gate.BEHAVIOUR])
    assert Gate.BEHAVIOUR not in passed(replica)
    replica.gates.failing.clear()
    run(replica, gates=[Gate.BEHAVIOUR])
    replica.gates.failing[Gate.BEHAVIOUR] = finding("behaviour.golden")
    run(replica, gates=[Gate.BEHAVIOUR])
    assert Gate.BEHAVIOUR in passed(replica)


def test_a_validation_older_than_the_policy_lets_it_be_does_not_count() -> None:
    """By the registry's clock, from the end of the run on."""
    clock = Clock()
    replica = Replica(MemoryStore(), clock=clock)
    replica.publish(package())
    clock.forward(100)
    run(replica, gates=[Gate.BEHAVIOUR])
    assert passed(replica, validation_valid_for_seconds=99.0) == {Gate.BEHAVIOUR}
    assert passed(replica, validation_valid_for_seconds=100.0) == UNMEASURED
    clock.forward(100)
    assert passed(replica, validation_valid_for_seconds=99.0) == set()
    assert passed(replica) == UNMEASURED


def test_gates_that_another_version_passed_do_not_count(replica: Replica) -> None:
    """Reports belong to one manifest."""
    run(replica, version="1.1.0", gates=[Gate.BEHAVIOUR])
    assert Gate.BEHAVIOUR not in passed(replica)
