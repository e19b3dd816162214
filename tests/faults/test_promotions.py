"""Crashes and lost replies while promoting: no gap, no fork, nothing acknowledged lost or doubled.

Every operation of the store fails in every way, by turns and at random, on three replicas over one
store; versions, validations and channels are the registry's own.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from tests.fakes.channels import (
    ALICE,
    BEGINNING,
    BOB,
    OPEN_POLICY,
    STABLE,
    Clock,
    publish,
    request_id,
    rollout,
    version_name,
)
from tests.fakes.memory_store import MemoryStore
from tests.fakes.storage import Crashed, Fault, FaultyStore, Operation
from voiceflow.artifact import digest_of
from voiceflow.catalog.channels import ChannelPolicy, Promotion
from voiceflow.catalog.gates import Gate, GateResult, Outcome, ValidationReport
from voiceflow.catalog.versions import VersionState
from voiceflow.errors import Conflict, NotAllowedNow, VoiceFlowError
from voiceflow_registry.channels.channels import Channels
from voiceflow_registry.records import ReportRecord, Request
from voiceflow_registry.reports import Reports
from voiceflow_registry.storage.filesystem import FilesystemStore
from voiceflow_registry.storage.object_store import ObjectStore, StoreUnavailable
from voiceflow_registry.validations import Validations
from voiceflow_registry.versions.versions import Versions

POLICY = OPEN_POLICY.model_copy(
    update={"demanded_gates": (Gate.CONTRACT,), "allow_downgrades": True}
)
VERSIONS = [f"1.{minor}.0" for minor in range(4)]


class NoGates:
    """Runs nothing: the reports are there already."""

    def run(self, *_: object, **__: object) -> NoReturn:
        """Is not called."""
        raise AssertionError("promoting runs no gate")


def fill(store: ObjectStore) -> None:
    """Versions, and a report on each."""
    for version in VERSIONS:
        record = publish(store, version)
        report = ValidationReport(
            name=f"{record.name}/validations/{0:012x}-0",
            manifest_digest=record.manifest_digest,
            passed=True,
            gates=(GateResult(gate=Gate.CONTRACT, outcome=Outcome.PASSED),),
            start_time=BEGINNING,
            end_time=BEGINNING,
            software_version="0",
            runtime_version="0",
        )
        Reports(store).add(ReportRecord(report=report, request=Request(principal="")))


def replica(store: ObjectStore) -> Channels:
    """One process of the registry."""
    clock = Clock()
    versions = Versions(store, clock)
    validations = Validations(
        store, versions, NoGates(), clock, software_version="0", has_evaluation_set=False
    )
    return Channels(store, versions, validations, clock, POLICY)


def served(store: ObjectStore) -> list[Promotion]:
    """The history, as whoever looks from outside reads it; checked to be one chain."""
    promotions = list(replica(store).promotions_after(STABLE, 0))
    before = ""
    for sequence, promotion in enumerate(promotions, 1):
        said = json.loads(promotion.statement)
        assert promotion.sequence == said["sequence"] == sequence
        assert said["previous_statement_digest"] == before
        before = digest_of(promotion.statement)
    keys = [info.key for info in store.list(f"history/{STABLE.model}/{STABLE.channel}/")]
    assert len(keys) == len(promotions)  # nothing stands beyond a gap
    return promotions


NewStore = Callable[[], ObjectStore]


@pytest.fixture(params=["memory", "filesystem"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> NewStore:
    """Makes stores with versions, in memory and in a folder."""
    numbers = itertools.count()

    def make() -> ObjectStore:
        in_memory = request.param == "memory"
        store = MemoryStore() if in_memory else FilesystemStore(tmp_path / str(next(numbers)))
        fill(store)
        return store

    return make


Act = Callable[[Channels], Promotion]


def promotion_of(canary_percent: int, etag: str) -> Act:
    """An act that promotes, the same whenever it is done."""
    asked = request_id()
    return lambda channels: channels.promote(
        BOB,
        STABLE,
        rollout=rollout("1.0.0", canary="1.1.0", percentage=canary_percent),
        etag=etag,
        request_id=asked,
    )[1]


def rollback_of(etag: str) -> Act:
    """An act that goes back."""
    asked = request_id()
    return lambda channels: channels.rollback(
        BOB, STABLE, to_sequence=1, etag=etag, request_id=asked
    )[1]


def policy_of(number: int, etag: str) -> Callable[[Channels], ChannelPolicy]:
    """An act that sets the policy."""
    asked = request_id()
    wanted = ChannelPolicy(name=STABLE.policy, promoters=(f"a:{number}",))
    return lambda channels: channels.update_policy(
        BOB, wanted, update_mask=None, etag=etag, request_id=asked
    )


def attempt(
    store: ObjectStore, fault: Fault, number: int, act: Act
) -> tuple[Promotion | None, bool]:
    """Does it with one operation that fails; the answer, and whether there was that operation."""
    faulty = FaultyStore(store, {number: fault})
    answer = None
    with suppress(Crashed, StoreUnavailable):
        answer = act(replica(faulty))
    return answer, len(faulty.operations) >= number


@pytest.mark.parametrize("kind", ["promote", "rollback"])
@pytest.mark.parametrize("fault", Fault)
def test_r22_r23_a_retry_after_any_failure_does_it_exactly_once(
    new_store: NewStore, kind: str, fault: Fault
) -> None:
    """Whichever operation crashed or lost its reply: sent again, the request is done, once."""
    store = new_store()
    promotion_of(1, "")(replica(store))
    there = True
    for number in itertools.count(1):
        if not there:
            assert number > 15
            return
        (*_, present) = served(store)
        if kind == "rollback":  # from something else
            wanted = rollout("1.1.0", canary="1.2.0", percentage=number)
            _, present = replica(store).promote(BOB, STABLE, rollout=wanted, etag=present.etag)
            act = rollback_of(present.etag)
        else:
            act = promotion_of(1 + number, present.etag)
        answer, there = attempt(store, fault, number, act)
        retried = [act(replica(store)) for _ in range(2)]
        assert retried == [answer or retried[0]] * 2
        assert served(store)[-2:] == [present, retried[0]]


@pytest.mark.parametrize("fault", Fault)
def test_r22_others_go_on_after_any_failure(new_store: NewStore, fault: Fault) -> None:
    """What a dead process has left stands whole or not at all, and is in nobody's way."""
    store = new_store()
    there = True
    for number in itertools.count(1):
        if not there:
            return
        before = served(store)
        act = promotion_of(2 * number, before[-1].etag if before else "")
        answer, there = attempt(store, fault, number, act)
        after = served(store)
        assert len(after) == len(before) + 1 or (after == before and answer is None)
        promotion_of(2 * number + 1, after[-1].etag if after else "")(replica(store))
        assert served(store)[:-1] == after
        # The one that failed comes back late: it is answered if it was done, and told if not.
        if after == before:
            with pytest.raises(Conflict):
                act(replica(store))
        else:
            assert act(replica(store)) == after[-1]


@pytest.mark.parametrize("fault", Fault)
def test_r22_a_policy_is_set_exactly_once_after_any_failure(
    new_store: NewStore, fault: Fault
) -> None:
    """Policies are a history like the other one."""
    store = new_store()
    there = True
    for number in itertools.count(1):
        if not there:
            return
        act = policy_of(number, replica(store).policy(STABLE).etag)
        faulty = FaultyStore(store, {number: fault})
        answer = None
        with suppress(Crashed, StoreUnavailable):
            answer = act(replica(faulty))
        there = len(faulty.operations) >= number
        for _ in range(2):
            retried = act(replica(store))
            assert retried == (answer or retried)
            assert (retried.sequence, retried.promoters) == (number, (f"a:{number}",))


def test_r20_r22_many_promoters_on_failing_replicas_are_each_done_once(
    new_store: NewStore,
) -> None:
    """Eight callers that retry until they are answered, while one operation in eight fails."""
    store = new_store()
    chance = random.Random(3)
    lock = threading.Lock()

    def fault(_: Operation) -> Fault | None:
        with lock:
            if chance.random() < 0.125:
                return chance.choice([Fault.LOSE_REPLY, Fault.REFUSE, Fault.REPEAT])
        return None

    replicas = [replica(FaultyStore(store, when=fault)) for _ in range(3)]
    answers: list[Promotion] = []

    def caller(number: int) -> None:
        channels = replicas[number % 3]
        for turn in range(3):
            act = None
            while True:
                try:
                    if act is None:
                        newest = channels.newest(STABLE)
                        act = promotion_of(1 + number * 3 + turn, newest.etag if newest else "")
                    answers.append(act(channels))
                except StoreUnavailable:
                    continue
                except Conflict:
                    act = None
                    continue
                break

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(caller, range(8)))
    history = served(store)
    assert sorted(answers, key=lambda promotion: promotion.sequence) == history
    assert len(history) == 24


@dataclass(frozen=True)
class Asked:
    """A request that was sent, and may be sent again."""

    act: Act
    request: str


class Channel(RuleBasedStateMachine):
    """Three replicas that crash and lose replies, and callers that retry, give up and delete."""

    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        fill(self.store)
        self.faulty = [FaultyStore(self.store) for _ in range(3)]
        self.replicas = [replica(faulty) for faulty in self.faulty]
        self.acknowledged: dict[str, Promotion] = {}

    @rule(number=st.integers(0, 2), fault=st.sampled_from(Fault), operation=st.integers(1, 30))
    def restart(self, number: int, fault: Fault, operation: int) -> None:
        """A replica starts anew, and one of its next operations will fail."""
        self.faulty[number] = FaultyStore(self.store, {operation: fault})
        self.replicas[number] = replica(self.faulty[number])

    @rule(
        target=requests,
        number=st.integers(0, 2),
        primary=st.sampled_from(VERSIONS),
        canary=st.sampled_from([None, *VERSIONS]),
        stale=st.booleans(),
    )
    def promote(self, number: int, primary: str, canary: str | None, stale: bool) -> object:
        """A caller promotes what it likes, from what it has last read or from older."""
        history = served(self.store)
        seen = history[:-1] if stale else history
        asked = request_id()
        wanted = rollout(primary, canary=None if canary == primary else canary)

        def act(channels: Channels) -> Promotion:
            return channels.promote(
                BOB,
                STABLE,
                rollout=wanted,
                etag=seen[-1].etag if seen else "",
                request_id=asked,
                allow_downgrade=True,
            )[1]

        return self._send(number, Asked(act, asked))

    @rule(target=requests, number=st.integers(0, 2))
    def roll_back(self, number: int) -> object:
        """A caller goes back."""
        history = served(self.store)
        asked = request_id()
        etag = history[-1].etag if history else "none"

        def act(channels: Channels) -> Promotion:
            return channels.rollback(BOB, STABLE, to_sequence=0, etag=etag, request_id=asked)[1]

        return self._send(number, Asked(act, asked))

    @rule(number=st.integers(0, 2), asked=requests)
    def retry(self, number: int, asked: Asked) -> None:
        """A caller sends its request again, answered or not, on any replica."""
        self._send(number, asked)

    @rule(number=st.integers(0, 2), version=st.sampled_from(VERSIONS))
    def delete(self, number: int, version: str) -> None:
        """A version is yanked and deleted, if nothing stands in the way."""
        versions, name = Versions(self.faulty[number], Clock()), version_name(version)
        try:
            versions.yank(ALICE, name, reason="bad", request_id="", validate_only=False)
            versions.delete(
                ALICE,
                name,
                request_id="",
                validate_only=False,
                in_use=self.replicas[number].using,
            )
        except (Crashed, StoreUnavailable, NotAllowedNow):
            pass

    @invariant()
    def what_was_acknowledged_stands_once(self) -> None:
        """Under its sequence, as it was answered; and no request stands twice."""
        history = served(self.store)
        for promotion in self.acknowledged.values():
            assert history[promotion.sequence - 1] == promotion
        asked = [promotion.request_id for promotion in history]
        assert len(asked) == len(set(asked))

    @invariant()
    def no_channel_names_what_is_deleted(self) -> None:
        """Pods could not fetch it."""
        newest = replica(self.store).newest(STABLE)
        versions = Versions(self.store, Clock())
        for pin in newest.rollout.pins().values() if newest else ():
            name = version_name(pin.version.rpartition("/")[2])
            assert versions.state(name) is not VersionState.DELETED

    def _send(self, number: int, asked: Asked) -> object:
        try:
            answer = asked.act(self.replicas[number])
        except (Crashed, StoreUnavailable):
            return asked
        except VoiceFlowError:
            assert asked.request not in self.acknowledged
            return multiple()
        assert self.acknowledged.setdefault(asked.request, answer) == answer
        return asked


TestChannel = Channel.TestCase
TestChannel.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
