"""What no registry and no client should send is refused with the path of the field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceflow.errors import InvalidInput
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc import registry

NAN, INFINITY = float("nan"), float("inf")
PIN = pb.VersionPin(version="models/m/versions/1.0.0")
TIME = Timestamp(seconds=1)
AFTER_TIME = Timestamp(seconds=10**15)
POD = pb.Pod(name="pods/a", start_time=TIME)
OUTCOMES: dict[str, Any] = {"version": "v", "role": pb.ROLE_PRIMARY}
REVERT: dict[str, Any] = {
    "from_version": PIN,
    "role": pb.ROLE_CANARY,
    "cause": 1,
    "revert_time": TIME,
}
RESULT: dict[str, Any] = {"gate": pb.GATE_GRAPH, "outcome": 1}


def generation(**fields: Any) -> pb.Pod:
    """A pod with one generation, valid save for some fields."""
    message = pb.Pod()
    message.CopyFrom(POD)
    message.generations.add(**{"version": PIN, "state": 1, "role": 1} | fields)
    return message


def histogram(bounds: list[float], counts: list[int], total: float = 0.0) -> pb.VersionOutcomes:
    """Outcomes with this histogram."""
    latency = pb.Histogram(upper_bounds=bounds, counts=counts, sum=total)
    return pb.VersionOutcomes(**OUTCOMES, compute_latency_seconds=latency)


def policy(**fields: Any) -> pb.ChannelPolicy:
    """A policy."""
    return pb.ChannelPolicy(**fields)


Case = tuple[Callable[..., Any], Any, str]

INVALID: list[Case] = [
    (registry.audit_entry_from_wire, pb.AuditEntry(create_time=AFTER_TIME), "entry.create_time"),
    (registry.audit_filter_from_wire, pb.AuditFilter(start_time=AFTER_TIME), "filter.start_time"),
    (registry.audit_filter_from_wire, pb.AuditFilter(end_time=AFTER_TIME), "filter.end_time"),
    *(
        (registry.rollout_from_wire, pb.Rollout(primary=PIN, **trial), path)
        for bad in (NAN, INFINITY, -INFINITY)
        for trial, path in (
            ({"canary": pb.Canary(pin=PIN, percentage=bad)}, "rollout.canary.percentage"),
            ({"shadow": pb.Shadow(pin=PIN, percentage=bad)}, "rollout.shadow.percentage"),
        )
    ),
    *(
        (registry.policy_from_wire, policy(**fields), f"policy.{path}")
        for fields, path in (
            ({"demanded_gates": [1, 99]}, "demanded_gates[1]"),
            ({"demanded_gates": [0]}, "demanded_gates[0]"),
            ({"sequence": -1}, "sequence"),
            ({"validation_valid_for": Duration(seconds=-1)}, "validation_valid_for"),
            ({"validation_valid_for": Duration(nanos=-1)}, "validation_valid_for"),
            ({"validation_valid_for": Duration(nanos=10**9)}, "validation_valid_for"),
            ({"validation_valid_for": Duration(seconds=2**62)}, "validation_valid_for"),
            ({"validation_valid_for": Duration()}, "validation_valid_for"),
            ({"cost_budget": pb.CostBudget(call_p99=Duration(seconds=-1))}, "cost_budget.call_p99"),
            ({"cost_budget": pb.CostBudget(slower_percent=NAN)}, "cost_budget.slower_percent"),
            ({"cost_budget": pb.CostBudget(slower_percent=-1)}, "cost_budget.slower_percent"),
            ({"cost_budget": pb.CostBudget(resident_bytes=-1)}, "cost_budget.resident_bytes"),
            (
                {"accuracy_budget": pb.AccuracyBudget(der_percent=NAN)},
                "accuracy_budget.der_percent",
            ),
            ({"revert_rules": pb.RevertRules(minimum_streams=-1)}, "revert_rules.minimum_streams"),
            ({"revert_rules": pb.RevertRules(hang_after=Duration())}, "revert_rules.hang_after"),
            (
                {"revert_rules": pb.RevertRules(error_worse_points=INFINITY)},
                "revert_rules.error_worse_points",
            ),
            (
                {"fleet_rollback": pb.FleetRollback(minimum_percent=NAN)},
                "fleet_rollback.minimum_percent",
            ),
            (
                {"fleet_rollback": pb.FleetRollback(minimum_percent=101)},
                "fleet_rollback.minimum_percent",
            ),
            ({"update_time": AFTER_TIME}, "update_time"),
            ({"update_time": Timestamp(nanos=-1)}, "update_time"),
            ({"update_time": Timestamp(nanos=2**31 - 1)}, "update_time"),
        )
    ),
    (registry.cursor_from_wire, pb.ChannelCursor(after_sequence=-1), "channels.after_sequence"),
    (registry.pod_from_wire, pb.Pod(start_time=AFTER_TIME), "pod.start_time"),
    (registry.pod_from_wire, pb.Pod(start_time=TIME, desired_sequence=-5), "pod.desired_sequence"),
    (registry.pod_from_wire, generation(state=77), "pod.generations[0].state"),
    (registry.pod_from_wire, generation(role=0), "pod.generations[0].role"),
    (registry.pod_from_wire, generation(streams=-1), "pod.generations[0].streams"),
    (registry.revert_from_wire, pb.Revert(**REVERT | {"cause": 0}), "revert.cause"),
    (registry.revert_from_wire, pb.Revert(**REVERT | {"hops": -1}), "revert.hops"),
    (registry.revert_from_wire, pb.Revert(**REVERT | {"sequence": -1}), "revert.sequence"),
    (registry.outcomes_from_wire, pb.VersionOutcomes(**OUTCOMES, turns=-1), "outcomes.turns"),
    (registry.outcomes_from_wire, pb.VersionOutcomes(version="v"), "outcomes.role"),
    (
        registry.outcomes_from_wire,
        pb.VersionOutcomes(**OUTCOMES, score_sum=NAN),
        "outcomes.score_sum",
    ),
    (
        registry.outcomes_from_wire,
        pb.VersionOutcomes(**OUTCOMES, speech=Duration(seconds=-1)),
        "outcomes.speech",
    ),
    *(
        (registry.outcomes_from_wire, message, f"outcomes.compute_latency_seconds.{path}")
        for message, path in (
            (histogram([2, 1], [0, 0, 0]), "upper_bounds"),
            (histogram([1, 1], [0, 0, 0]), "upper_bounds"),
            (histogram([NAN], [0, 0]), "upper_bounds"),
            (histogram([1, INFINITY], [0, 0, 0]), "upper_bounds"),
            (histogram([1], [0]), "counts"),
            (histogram([1], [0, -1]), "counts[1]"),
            (histogram([1], [0, 1], NAN), "sum"),
        )
    ),
    (
        registry.version_filter_from_wire,
        pb.VersionFilter(states=[1, 9]),  # type: ignore[list-item]  # no such state
        "filter.states[1]",
    ),
    (registry.version_file_from_wire, pb.VersionFile(digest="md5:1"), "file.digest"),
    (
        registry.gate_result_from_wire,
        pb.GateResult(**RESULT | {"outcome": 0}),
        "gate_result.outcome",
    ),
    (
        registry.gate_result_from_wire,
        pb.GateResult(**RESULT, measurements=[pb.Measurement(name="x", value=NAN)]),
        "gate_result.measurements[0].value",
    ),
    (registry.watch_event_from_wire, pb.WatchChannelsResponse(), "event"),
]

REQUIRED: list[Case] = [
    (registry.audit_entry_from_wire, pb.AuditEntry(), "entry.create_time"),
    (registry.rollout_from_wire, pb.Rollout(), "rollout.primary"),
    (registry.rollout_from_wire, pb.Rollout(primary=PIN, canary={}), "rollout.canary.pin"),
    (registry.rollout_from_wire, pb.Rollout(primary=PIN, shadow={}), "rollout.shadow.pin"),
    (registry.pod_from_wire, pb.Pod(), "pod.start_time"),
    (
        registry.pod_from_wire,
        pb.Pod(start_time=TIME, generations=[{}]),
        "pod.generations[0].version",
    ),
    (registry.revert_from_wire, pb.Revert(), "revert.from_version"),
    (
        registry.revert_from_wire,
        pb.Revert(from_version=PIN, role=pb.ROLE_CANARY, cause=pb.Revert.CAUSE_HANG),
        "revert.revert_time",
    ),
    (
        registry.promotion_from_wire,
        pb.Promotion(kind=pb.Promotion.KIND_PROMOTE),
        "promotion.rollout",
    ),
    (registry.comparison_from_wire, pb.CompareOutcomesResponse(), "base"),
]


@pytest.mark.parametrize(
    ("reason", "read", "message", "field"),
    [("FIELD_INVALID", *case) for case in INVALID]
    + [("FIELD_REQUIRED", *case) for case in REQUIRED],
)
def test_what_is_not_allowed_is_named(
    reason: str, read: Callable[[Any], Any], message: Any, field: str
) -> None:
    """The error has the reason, and the path of the very field at fault."""
    received = type(message).FromString(message.SerializeToString())
    with pytest.raises(InvalidInput) as caught:
        read(received)
    assert (caught.value.reason, caught.value.field) == (reason, field)
    assert field in caught.value.message


READERS: list[tuple[Callable[[Any], Any], Any]] = [
    (registry.rollout_from_wire, pb.Rollout),
    (registry.policy_from_wire, pb.ChannelPolicy),
    (registry.promotion_from_wire, pb.Promotion),
    (registry.pod_from_wire, pb.Pod),
    (registry.revert_from_wire, pb.Revert),
    (registry.outcomes_from_wire, pb.VersionOutcomes),
    (registry.version_from_wire, pb.Version),
    (registry.report_from_wire, pb.ValidationReport),
]


TRACE_PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.mark.parametrize(
    "malformed",
    [
        "x" * 55,
        "0" * 10_000_000,
        TRACE_PARENT.upper(),
        f"{TRACE_PARENT}\n",
        f"{TRACE_PARENT}-00",
        TRACE_PARENT[:-1],
    ],
    ids=["letters", "long", "capitals", "two lines", "more", "less"],
)
def test_a_malformed_trace_parent_is_ignored_and_the_promotion_is_read(malformed: str) -> None:
    """No registry can keep a server from a promotion, or fill it, by what it says of a trace."""
    fields: dict[str, Any] = {
        "sequence": 1,
        "kind": 1,
        "rollout": pb.Rollout(primary=PIN),
        "commit_time": TIME,
    }
    read = registry.promotion_from_wire
    assert read(pb.Promotion(**fields, trace_parent=malformed)).trace_parent == ""
    assert read(pb.Promotion(**fields, trace_parent=TRACE_PARENT)).trace_parent == TRACE_PARENT


@pytest.mark.parametrize(("read", "message"), READERS, ids=[m.DESCRIPTOR.name for _, m in READERS])
@settings(deadline=None)
@given(data=st.data())
def test_any_message_is_read_or_refused(
    read: Callable[[Any], Any], message: Any, data: st.DataObject
) -> None:
    """Whatever decodes as a message ends as a value or as InvalidInput, never as another error."""
    error = refusal(read, fill(message(), data, depth=3))
    assert error is None or (error.field and error.reason in {"FIELD_INVALID", "FIELD_REQUIRED"})


def refusal(read: Callable[[Any], Any], message: Any) -> InvalidInput | None:
    """Why a message is refused, if it is."""
    try:
        read(message)
    except InvalidInput as error:
        return error
    return None


def fill(message: Any, data: st.DataObject, depth: int) -> Any:
    """Sets fields of a message to anything that they can hold."""
    for field in message.DESCRIPTOR.fields:
        if not data.draw(st.booleans()):
            continue
        if field.message_type is not None:
            if field.message_type.GetOptions().map_entry or depth == 0:
                continue
            child = getattr(message, field.name)
            inner = child.add() if field.is_repeated else child
            if not field.is_repeated:
                inner.SetInParent()
            fill(inner, data, depth - 1)
            continue
        value = data.draw(
            st.binary() if field.type == field.TYPE_BYTES else SCALARS[field.cpp_type]
        )
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
    return message


SCALARS: dict[int, st.SearchStrategy[Any]] = {
    1: st.integers(-(2**31), 2**31 - 1),
    2: st.integers(-(2**63), 2**63 - 1),
    3: st.integers(0, 2**32 - 1),
    5: st.floats(),
    7: st.booleans(),
    8: st.integers(-1, 9),
    9: st.text(),
}
"""By `FieldDescriptor.cpp_type`."""
