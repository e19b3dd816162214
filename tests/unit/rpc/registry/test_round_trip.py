"""The mapping between the catalog's values and their messages loses nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime

from voiceflow.catalog import audit, channels, gates, pods, queries, versions
from voiceflow.catalog.values import Signature, Value
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow.rpc import registry

# What each value may hold, by the name of its attribute; all else follows from its type.
COUNT = st.integers(0, 2**31 - 1)
WIDE = st.integers(0, 2**63 - 1)
SECONDS = st.integers(0, 10**13).map(lambda nanoseconds: nanoseconds / 10**9)
TIMES = st.datetimes(timezones=st.just(UTC))
TEXT = st.text(max_size=20)
DIGESTS = st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NON_NEGATIVE = st.floats(0, 1e300)
PERCENT = st.floats(0.01, 100.0)
LABELS = st.dictionaries(TEXT, TEXT, max_size=3)

SPECIAL: dict[str, st.SearchStrategy[Any]] = {
    "hang_after_seconds": st.none() | SECONDS.filter(bool),
    "validation_valid_for_seconds": st.none() | SECONDS.filter(bool),
    "elapsed_seconds": SECONDS,
    "speech_seconds": SECONDS,
    "call_p99_seconds": st.none() | SECONDS,
    "batch_p99_seconds": st.none() | SECONDS,
    "percentage": PERCENT,
    "minimum_percent": PERCENT,
    "sequence": st.integers(1, 2**63 - 1),
    "manifest": st.none() | st.binary(min_size=1, max_size=20),
    "labels": LABELS,
    "minimum_pods": st.integers(2, 2**31 - 1),
    "version_count": COUNT,
    "base_pods": COUNT,
    "target_pods": COUNT,
    "minimum_streams": COUNT,
    "non_finite_hops": COUNT,
    "digest": DIGESTS,
    "manifest_digest": DIGESTS,
    "trace_parent": st.just("")
    | st.from_regex(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", fullmatch=True),
}


def strategy(kind: Any) -> st.SearchStrategy[Any]:
    """All values of a type that a message can hold."""
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXT,
        bytes: st.binary(max_size=20),
        bool: st.booleans(),
        int: WIDE,
        float: FLOATS,
        type(None): st.none(),
        AwareDatetime: TIMES,
        pods.Histogram: HISTOGRAMS,
        channels.VersionPin: PINS,
    }
    if kind in simple:
        return simple[kind]
    if hasattr(kind, "__metadata__"):  # a number with bounds, or a digest
        return {int: WIDE, float: NON_NEGATIVE, str: DIGESTS}[get_args(kind)[0]]
    if get_origin(kind) is tuple:
        return st.lists(strategy(get_args(kind)[0]), max_size=3).map(tuple)
    if get_args(kind):
        return st.one_of(*(strategy(choice) for choice in get_args(kind)))
    return values(kind) if issubclass(kind, Value) else st.sampled_from(list(kind))


def histograms(bounds: list[float]) -> st.SearchStrategy[pods.Histogram]:
    """Histograms with these bounds."""
    return st.builds(
        pods.Histogram,
        upper_bounds=st.just(tuple(sorted(bounds))),
        counts=st.lists(WIDE, min_size=len(bounds) + 1, max_size=len(bounds) + 1).map(tuple),
        sum=FLOATS,
    )


HISTOGRAMS = st.lists(st.floats(-1e9, 1e9), unique=True, max_size=4).flatmap(histograms)
PINS = st.builds(channels.VersionPin, version=st.text(min_size=1, max_size=9), manifest_digest=TEXT)


@cache
def values(cls: type[Value]) -> st.SearchStrategy[Any]:
    """All values of a class of the catalog that a message can hold."""
    hints = get_type_hints(cls, include_extras=True)
    attributes = {}
    for name in cls.model_fields:
        special = COUNT if (cls, name) == (pods.PodGeneration, "streams") else SPECIAL.get(name)
        attributes[name] = strategy(hints[name]) if special is None else special
    return st.builds(cls, **attributes)


PAIRS: list[tuple[type[Value], str]] = [
    (channels.VersionPin, "pin"),
    (channels.Rollout, "rollout"),
    (channels.Promotion, "promotion"),
    (channels.Channel, "channel"),
    (channels.ChannelPolicy, "policy"),
    (channels.ChannelCursor, "cursor"),
    (channels.Heartbeat, "watch_event"),
    (channels.ChannelPolicy, "watch_event"),
    (channels.Promotion, "watch_event"),
    (gates.GateResult, "gate_result"),
    (gates.ValidationReport, "report"),
    (gates.CostBudget, "cost_budget"),
    (gates.AccuracyBudget, "accuracy_budget"),
    (pods.Pod, "pod"),
    (pods.Revert, "revert"),
    (pods.VersionOutcomes, "outcomes"),
    (pods.OutcomeComparison, "comparison"),
    (pods.Collection, "collection"),
    (queries.PodFilter, "pod_filter"),
    (queries.VersionFilter, "version_filter"),
    (versions.Version, "version"),
    (versions.VersionFile, "version_file"),
    (versions.Model, "model"),
    (versions.DeclaredFile, "declared_file"),
    (versions.Upload, "upload"),
    (versions.Difference, "difference"),
    (audit.AuditEntry, "audit_entry"),
    (audit.AuditFilter, "audit_filter"),
]


def mapping(name: str, direction: str) -> Callable[[Any], Any]:
    """`version_to_wire` and the like."""
    function: Callable[[Any], Any] = getattr(registry, f"{name}_{direction}_wire")
    return function


@pytest.mark.parametrize(("cls", "name"), PAIRS, ids=lambda part: getattr(part, "__name__", part))
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_what_comes_back_is_what_was_sent(cls: type[Value], name: str, data: st.DataObject) -> None:
    """Every value of the catalog survives the way through its encoded message."""
    value = data.draw(values(cls))
    message = mapping(name, "to")(value)
    received = type(message).FromString(message.SerializeToString())
    assert mapping(name, "from")(received) == value


@given(st.builds(Signature, media_type=TEXT, content=st.binary(max_size=20)))
def test_signatures_come_back(signature: Signature) -> None:
    """A signature survives inside the message that carries it."""
    bundle = registry.signature_to_wire(signature)
    begin = pb.PublishBegin(signature=bundle)
    assert registry.signature_from_wire(begin, "signature") == signature
    assert registry.signature_from_wire(type(begin)(), "signature") is None


def test_every_mapping_has_both_directions() -> None:
    """Whatever can be sent can be read, and all of it is tried above."""
    functions = {name for name, _ in inspect.getmembers(registry, inspect.isfunction)}
    ends = {"to": set[str](), "from": set[str]()}
    for name in functions:
        for direction, names in ends.items():
            if name.endswith(f"_{direction}_wire"):
                names.add(name.removesuffix(f"_{direction}_wire"))
    helpers = {"optional_time", "seconds", "time", "signature"}
    assert ends["to"] - helpers == ends["from"] - helpers == {name for _, name in PAIRS}
