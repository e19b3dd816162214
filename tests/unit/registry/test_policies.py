"""Policies: a history of their own, set in part or whole, and rules that keep them sane."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.fakes.channels import ALICE, BOB, OPEN_POLICY, STABLE, replica, request_id
from tests.fakes.memory_store import MemoryStore
from voiceflow.catalog.channels import ChannelPolicy, FleetRollback, RevertRules
from voiceflow.catalog.gates import CostBudget, Gate
from voiceflow.errors import Conflict, InvalidInput
from voiceflow.registry.v1 import registry_pb2 as pb
from voiceflow_registry.channels.channels import Channels
from voiceflow_registry.channels.policies import settable_paths

WANTED = ChannelPolicy(
    name=STABLE.policy,
    promoters=("spiffe://voiceflow/promoter/*",),
    allow_prereleases=True,
    demanded_gates=(Gate.COST, Gate.GRAPH, Gate.COST),
    validation_valid_for_seconds=3600.0,
    cost_budget=CostBudget(call_p99_seconds=0.01, slower_percent=20.0),
    revert_rules=RevertRules(minimum_streams=10, hang_after_seconds=2.0),
    fleet_rollback=FleetRollback(enabled=True, minimum_pods=2, minimum_percent=50.0),
)


@pytest.fixture
def channels() -> Channels:
    """Of an empty store."""
    return replica(MemoryStore())


def set_to(channels: Channels, policy: ChannelPolicy, *mask: str) -> ChannelPolicy:
    """Sets a policy as last read."""
    return channels.update_policy(BOB, policy, update_mask=mask, etag=channels.policy(STABLE).etag)


def test_a_channel_without_a_policy_has_the_default_one(channels: Channels) -> None:
    """Sequence 0, nobody's, and with an etag from which the first one is set."""
    policy = channels.policy(STABLE)
    assert (policy.name, policy.sequence, policy.principal) == (STABLE.policy, 0, "")
    assert policy.etag
    assert policy.promoters == OPEN_POLICY.promoters


def test_a_policy_is_set_as_a_whole_without_a_mask(channels: Channels) -> None:
    """Every field is as wanted, gates once and in order, and who set it is told."""
    made = set_to(channels, WANTED)
    assert channels.policy(STABLE) == made
    assert (made.sequence, made.principal) == (1, BOB.principal)
    assert made.demanded_gates == (Gate.GRAPH, Gate.COST)
    output = {"sequence", "etag", "principal", "update_time", "demanded_gates"}
    assert made.model_dump(exclude=output) == WANTED.model_dump(exclude=output)
    assert set_to(channels, WANTED.model_copy(update={"promoters": ()})).sequence == 2


def test_a_mask_sets_what_it_names_and_nothing_else(channels: Channels) -> None:
    """Whole fields, and fields within budgets and rules."""
    first = set_to(channels, WANTED)
    other = ChannelPolicy(
        name=STABLE.policy,
        allow_downgrades=True,
        cost_budget=CostBudget(call_p99_seconds=0.5, slower_percent=99.0),
        fleet_rollback=FleetRollback(enabled=True, minimum_pods=0),
    )
    mask = ("allow_downgrades", "cost_budget.call_p99", "fleet_rollback.enabled")
    second = set_to(channels, other, *mask)
    assert second.allow_downgrades
    assert second.cost_budget == CostBudget(call_p99_seconds=0.5, slower_percent=20.0)
    kept = {"cost_budget", "allow_downgrades", "sequence", "etag", "principal", "update_time"}
    assert second.model_dump(exclude=kept) == first.model_dump(exclude=kept)


@pytest.mark.parametrize(
    "path",
    [
        *("sequence", "etag", "principal", "update_time"),
        *("nothing", "", "*", "promoters.0", "cost_budget.nothing"),
        *("validation_valid_for_seconds", "cost_budget.call_p99_seconds"),
    ],
)
def test_a_path_that_cannot_be_set_is_refused(channels: Channels, path: str) -> None:
    """No field, or output only: MASK_INVALID, and nothing is set."""
    with pytest.raises(InvalidInput) as caught:
        set_to(channels, WANTED, "promoters", path)
    assert (caught.value.reason, caught.value.field) == ("MASK_INVALID", "update_mask")
    assert channels.policy(STABLE).sequence == 0


def test_the_paths_are_those_of_the_api() -> None:
    """A mask can name every field of the message that is not output only, as it is named there."""
    outputs = {"sequence", "etag", "principal", "update_time"}

    def paths(message: Any) -> Iterator[str]:
        for field in message.fields:
            yield field.name
            part = field.message_type
            if part is not None and part.file is message.file:
                yield from (f"{field.name}.{inner.name}" for inner in part.fields)

    assert set(settable_paths()) == set(paths(pb.ChannelPolicy.DESCRIPTOR)) - outputs


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"promoters": ("*",)}, "policy.promoters[0]"),
        ({"promoters": ("spiffe://a/b", "")}, "policy.promoters[1]"),
        ({"promoters": ("spiffe://*/b",)}, "policy.promoters[0]"),
        ({"promoters": ("spiffe://a/b*",)}, "policy.promoters[0]"),
        ({"promoters": ("spiffe://a/" + "b" * 600,)}, "policy.promoters[0]"),
        ({"promoters": ("spiffe://a/b c",)}, "policy.promoters[0]"),
        ({"promoters": tuple(f"a:{n}" for n in range(101))}, "policy.promoters"),
        (
            {"fleet_rollback": FleetRollback(enabled=True, minimum_pods=1)},
            "policy.fleet_rollback.minimum_pods",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(
    channels: Channels, change: dict[str, object], field: str
) -> None:
    """Promoters are URIs; and a quorum of one is no quorum."""
    with pytest.raises(InvalidInput) as caught:
        set_to(channels, WANTED.model_copy(update=change))
    assert (caught.value.reason, caught.value.field) == ("FIELD_INVALID", field)


def test_a_default_policy_that_breaks_a_rule_is_refused_at_once() -> None:
    """Not only when somebody first needs it."""
    with pytest.raises(InvalidInput):
        replica(MemoryStore(), policy=OPEN_POLICY.model_copy(update={"promoters": ("*",)}))


def test_what_changes_nothing_leaves_the_policy_that_stands(channels: Channels) -> None:
    """No sequence is written; of the default, setting it makes it the channel's own."""
    first = set_to(channels, channels.policy(STABLE))
    assert first.sequence == 1
    made = set_to(channels, WANTED)
    assert set_to(channels, WANTED) == made
    assert set_to(channels, WANTED, "promoters") == made
    assert channels.policy(STABLE) == made


def test_an_etag_is_required_and_must_be_the_newest(channels: Channels) -> None:
    """Who sets a policy has seen the one that it replaces."""
    with pytest.raises(InvalidInput) as caught:
        channels.update_policy(BOB, WANTED, update_mask=None, etag="")
    assert (caught.value.reason, caught.value.field) == ("FIELD_REQUIRED", "etag")
    seen = channels.policy(STABLE).etag
    set_to(channels, WANTED)
    with pytest.raises(Conflict) as stale:
        channels.update_policy(ALICE, WANTED, update_mask=None, etag=seen)
    assert stale.value.reason == "ETAG_STALE"


def test_of_sixteen_that_set_one_policy_one_wins() -> None:
    """Policies have neither gap nor fork either."""
    store = MemoryStore()
    replicas = [replica(store) for _ in range(3)]
    etag = replicas[0].policy(STABLE).etag

    def race(caller: int) -> bool:
        try:
            replicas[caller % 3].update_policy(
                BOB,
                WANTED.model_copy(update={"promoters": (f"a:{caller}",)}),
                update_mask=None,
                etag=etag,
                request_id=request_id(),
            )
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(race, range(16))) == 1
    assert replica(store).policy(STABLE).sequence == 1


def test_a_retry_gets_the_first_answer_and_validate_only_sets_nothing() -> None:
    """On every replica, with or without the index of requests."""
    store = MemoryStore()
    one = replica(store)
    asked = {"update_mask": None, "etag": one.policy(STABLE).etag, "request_id": request_id()}
    as_if = one.update_policy(BOB, WANTED, validate_only=True, **asked)  # type: ignore[arg-type]
    assert one.policy(STABLE).sequence == 0
    answer = one.update_policy(BOB, WANTED, **asked)  # type: ignore[arg-type]
    assert (as_if.etag, as_if.sequence) == (answer.etag, answer.sequence)
    set_to(one, WANTED.model_copy(update={"promoters": ()}))
    for info in list(store.list("requests/")):
        assert replica(store).update_policy(BOB, WANTED, **asked) == answer  # type: ignore[arg-type]
        store.delete(info.key, if_generation=info.generation)
    assert replica(store).update_policy(BOB, WANTED, **asked) == answer  # type: ignore[arg-type]
    other = WANTED.model_copy(update={"allow_downgrades": True})
    with pytest.raises(InvalidInput) as caught:
        one.update_policy(BOB, other, **asked)  # type: ignore[arg-type]
    assert caught.value.reason == "REQUEST_ID_REUSED"
