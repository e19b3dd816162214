"""Pods: the latest report counts, reverts are kept, and only a quorum moves a channel."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from tests.fakes.channels import (
    ALICE,
    BEGINNING,
    BOB,
    OPEN_POLICY,
    STABLE,
    Clock,
    publish,
    replica,
    rollout,
    version_name,
)
from tests.fakes.memory_store import MemoryStore
from tests.fakes.storage import Fault, FaultyStore
from voiceflow.catalog.channels import FleetRollback, Promotion, PromotionKind, Role, VersionPin
from voiceflow.catalog.names import ChannelName, PodName
from voiceflow.catalog.pods import (
    Cause,
    GenerationState,
    Histogram,
    Pod,
    PodGeneration,
    Revert,
    VersionOutcomes,
)
from voiceflow.catalog.queries import PodFilter
from voiceflow.errors import Conflict, Forbidden, InvalidInput, NotFound
from voiceflow.identity.caller import Caller
from voiceflow.rpc.registry import pod_to_wire
from voiceflow_registry.audit.log import AuditLog
from voiceflow_registry.channels.channels import REGISTRY_PRINCIPAL
from voiceflow_registry.pods.pods import Pods
from voiceflow_registry.pods.reports import MAXIMUM_GENERATIONS
from voiceflow_registry.storage.object_store import ObjectStore, StoreUnavailable
from voiceflow_registry.versions.versions import Versions

POD = Caller("spiffe://voiceflow/pod/a", pods=("*",))
EDGE = ChannelName("diarizer", "edge")


@dataclass
class Place:
    """A registry with versions 1.0.0 to 1.3.0 and a fleet of pods."""

    store: ObjectStore = field(default_factory=MemoryStore)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        for minor in range(4):
            publish(self.store, f"1.{minor}.0")
        self.channels = replica(self.store, clock=self.clock)
        self.pods = self.replica()

    def replica(self, store: ObjectStore | None = None) -> Pods:
        """The pods as one process has them."""
        store = store or self.store
        audit = AuditLog(store, self.clock, retry_after_seconds=1.0)
        return Pods(store, replica(store, clock=self.clock), audit, self.clock, 10.0)

    def promote(self, version: str, name: ChannelName = STABLE, **roles: str) -> Promotion:
        """One more promotion."""
        newest = self.channels.newest(name)
        _, promotion = self.channels.promote(
            BOB,
            name,
            rollout=rollout(version, **roles),  # type: ignore[arg-type]
            etag=newest.etag if newest else "",
        )
        return promotion

    def rule(self, rule: FleetRollback) -> None:
        """Sets when the fleet goes back."""
        self.channels.update_policy(
            BOB,
            OPEN_POLICY.model_copy(update={"name": STABLE.policy, "fleet_rollback": rule}),
            update_mask=None,
            etag=self.channels.policy(STABLE).etag,
        )

    def report(
        self,
        name: str,
        version: str,
        *reverted: str,
        number: int = 1,
        sequence: int | None = None,
        pods: Pods | None = None,
        role: Role = Role.PRIMARY,
    ) -> None:
        """A pod serves a version, and may have left others under the newest promotion."""
        newest = self.channels.newest(STABLE)
        desired = newest.sequence if newest else 0
        (pods or self.pods).report(
            POD,
            pod(name, version, desired=desired),
            report_number=number,
            reverts=[
                revert(name, other, sequence=sequence or desired, role=role) for other in reverted
            ],
            outcomes=[],
        )


def pin(version: str) -> VersionPin:
    """A version by name."""
    return VersionPin(version=str(version_name(version)))


def pod(
    name: str,
    version: str = "1.0.0",
    *,
    channel: ChannelName = STABLE,
    desired: int = 1,
    start: int = 0,
    labels: dict[str, str] | None = None,
) -> Pod:
    """What a pod says of itself."""
    generation = PodGeneration(
        generation=1, version=pin(version), state=GenerationState.ACTIVE, role=Role.PRIMARY
    )
    return Pod(
        name=f"pods/{name}",
        channel=str(channel),
        desired_sequence=desired,
        serving_sequence=desired,
        generations=(generation,),
        start_time=BEGINNING + timedelta(seconds=start),
        labels=labels or {},
    )


def revert(
    name: str, version: str, *, sequence: int = 1, role: Role = Role.PRIMARY, of: str = ""
) -> Revert:
    """A pod has left a version."""
    return Revert(
        name=f"{STABLE}/reverts/{of or uuid.uuid4()}",
        pod=f"pods/{name}",
        sequence=sequence,
        from_version=pin(version),
        role=role,
        cause=Cause.NON_FINITE,
        revert_time=BEGINNING,
    )


def sent(pods: Pods, said: Pod, number: int, *reverts: Revert) -> float:
    """Sends a report."""
    return pods.report(POD, said, report_number=number, reverts=reverts, outcomes=[])


@pytest.fixture
def place() -> Place:
    """An empty fleet."""
    return Place()


def test_a_report_replaces_the_one_before(place: Place) -> None:
    """The pod is as it last said, and is told when to report again."""
    assert sent(place.pods, pod("a"), 1) == 10.0
    sent(place.pods, pod("a", "1.1.0"), 2)
    seen = place.replica().get(PodName("a"))
    assert seen.generations[0].version == pin("1.1.0")
    assert seen.report_time is not None
    wanted = PodFilter(version=str(version_name("1.1.0")))
    assert names(place, wanted) == ["pods/a"]
    sent(place.pods, pod("a", "1.2.0"), 3)
    assert names(place, wanted) == []  # also for a replica that has read it before
    with pytest.raises(NotFound) as caught:
        place.pods.get(PodName("b"))
    assert caught.value.reason == "POD_NOT_FOUND"


@pytest.mark.parametrize(("start", "number"), [(5, 2), (0, 9)])
def test_an_outdated_report_is_refused(place: Place, start: int, number: int) -> None:
    """Of the same run with a lower number, or of a run that began earlier."""
    sent(place.pods, pod("a", "1.1.0", start=5), 3)
    with pytest.raises(Conflict) as caught:
        sent(place.replica(), pod("a", start=start), number)
    assert caught.value.reason == "REPORT_OUTDATED"
    assert place.pods.get(PodName("a")).generations[0].version == pin("1.1.0")
    sent(place.pods, pod("a", start=6), 1)  # a restart counts from 1 again


def test_the_same_report_may_come_again(place: Place) -> None:
    """A reply was lost: the retry is answered; another report under its number is not."""
    place.promote("1.0.0")
    said, left = pod("a"), revert("a", "1.1.0")
    for _ in range(2):
        sent(place.replica(), said, 1, left)
    assert len(place.pods.reverts(STABLE, page_size=0, page_token="").items) == 1
    with pytest.raises(Conflict):
        sent(place.pods, pod("a", "1.1.0"), 1)


def test_r40_a_pod_whose_clock_was_set_back_comes_back_once_it_was_lost(place: Place) -> None:
    """It restarts thirty days earlier: refused while its last run may live, then taken."""
    sent(place.pods, pod("a", start=30 * 86400), 7)
    with pytest.raises(Conflict):
        sent(place.pods, pod("a"), 1)
    place.clock.now += timedelta(seconds=31)
    sent(place.pods, pod("a"), 1)


def test_r23_reports_survive_crashes_and_lost_replies_at_every_operation(place: Place) -> None:
    """Whatever fails, the pod sends its report again and in the end it is known, with reverts."""
    place.promote("1.0.0")
    faults = (Fault.LOSE_REPLY, Fault.REFUSE, Fault.REPEAT)
    for fault in faults:
        operation, number = 0, 1
        while True:
            operation += 1
            store = FaultyStore(place.store, {operation: fault})
            left = revert("a", "1.1.0")
            said = pod("a", desired=operation, start=100 * faults.index(fault))
            try:
                sent(place.replica(store), said, number, left)
            except StoreUnavailable:
                sent(place.replica(), said, number, left)
            assert place.pods.get(PodName("a")).desired_sequence == operation
            number += 1
            if len(store.operations) < operation:
                break
    assert operation > 4


def test_racing_reports_leave_the_latest(place: Place) -> None:
    """Sixteen reports of one run in any order: the greatest number stands."""

    def report(number: int) -> None:
        try:
            sent(place.replica(), pod("a", desired=number), number)
        except Conflict:
            outdated.append(number)

    outdated: list[int] = []
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(report, range(1, 17)))
    assert place.pods.get(PodName("a")).desired_sequence == 16
    assert 16 not in outdated


def test_a_silent_pod_is_lost(place: Place) -> None:
    """After three times the interval that it was told, and then it is listed only if asked for."""
    sent(place.pods, pod("a"), 1)
    assert not place.pods.get(PodName("a")).lost
    assert names(place, PodFilter()) == ["pods/a"]
    place.clock.now += timedelta(seconds=31)
    sent(place.pods, pod("b"), 1)
    assert place.pods.get(PodName("a")).lost
    assert names(place, PodFilter()) == ["pods/b"]
    assert names(place, PodFilter(include_lost=True)) == ["pods/a", "pods/b"]


def names(place: Place, where: PodFilter, page_size: int = 2) -> list[str]:
    """Names of pods, page by page."""
    found: list[str] = []
    token = ""
    while True:
        page = place.pods.list(where=where, page_size=page_size, page_token=token)
        found += [pod.name for pod in page.items]
        token = page.next_page_token
        if not token:
            return found


def test_pods_are_listed_by_name_and_narrowed_by_what_they_serve(place: Place) -> None:
    """All filters that are set must hold."""
    place.promote("1.0.0")
    place.promote("1.1.0")
    place.promote("1.0.0", EDGE)
    for said in (
        pod("a-b", "1.1.0", desired=2, labels={"colour": "blue", "zone": "x"}),
        pod("a", "1.0.0", desired=1, labels={"colour": "blue"}),
        pod("c", "1.0.0", channel=EDGE, labels={"colour": "green"}),
    ):
        sent(place.pods, said, 1)
    assert names(place, PodFilter()) == ["pods/a", "pods/a-b", "pods/c"]
    for where, found in (
        (PodFilter(channel=str(STABLE)), ["pods/a", "pods/a-b"]),
        (PodFilter(version=str(version_name("1.0.0"))), ["pods/a", "pods/c"]),
        (PodFilter(not_converged=True), ["pods/a"]),
        (PodFilter(labels={"colour": "blue"}), ["pods/a", "pods/a-b"]),
        (PodFilter(labels={"colour": "blue", "zone": "x"}), ["pods/a-b"]),
        (PodFilter(channel=str(EDGE), labels={"colour": "blue"}), []),
    ):
        assert names(place, where) == found


def test_reverts_come_newest_first_in_pages_that_new_ones_do_not_disturb(place: Place) -> None:
    """Narrowed to a version or promotion if asked."""
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        place.promote(version)
    all_of_them = [revert("a", f"1.{n % 2}.0", sequence=1 + n % 3) for n in range(7)]
    for number, left in enumerate(all_of_them, 1):
        sent(place.pods, pod("a"), number, left)
    listed: list[Revert] = []
    token = ""
    for number in range(8, 20):
        page = place.pods.reverts(STABLE, page_size=2, page_token=token)
        listed += page.items
        token = page.next_page_token
        if not token:
            break
        sent(place.pods, pod("a"), number, revert("a", "1.3.0"))
    assert listed == all_of_them[::-1]
    narrowed = place.pods.reverts(
        STABLE, page_size=0, page_token="", version=str(version_name("1.1.0")), sequence=2
    )
    assert list(narrowed.items) == [
        left
        for left in all_of_them[::-1]
        if left.sequence == 2 and left.from_version == pin("1.1.0")
    ]
    with pytest.raises(NotFound) as caught:
        place.pods.reverts(EDGE, page_size=0, page_token="")
    assert caught.value.reason == "CHANNEL_NOT_FOUND"


def test_a_quorum_takes_a_version_from_all(place: Place) -> None:
    """Two of four pods, half of them: the registry goes back to the primary before."""
    place.rule(FleetRollback(enabled=True, minimum_pods=2, minimum_percent=50.0))
    place.promote("1.0.0")
    place.promote("1.1.0")
    for name in "abc":
        place.report(name, "1.1.0")
    place.report("a", "1.0.0", "1.1.0", number=2)
    assert place.channels.get(STABLE).sequence == 2  # one sick pod moves nobody else
    place.report("d", "1.0.0", "1.1.0")
    newest = place.channels.newest(STABLE)
    assert newest is not None
    assert (newest.sequence, newest.kind) == (3, PromotionKind.AUTOMATIC_ROLLBACK)
    assert newest.rollout.primary.version == str(version_name("1.0.0"))
    assert (newest.principal, newest.rollback_to_sequence) == (REGISTRY_PRINCIPAL, 1)
    assert "2 of 4 pods" in newest.reason


def fleet(place: Place, **counts: int) -> None:
    """Pods that serve 1.1.0 (`well`), that left it (`sick`), that left it and fell silent."""
    place.promote("1.0.0")
    place.promote("1.1.0")
    for number in range(counts.get("silent", 0)):
        place.report(f"silent-{number}", "1.0.0", "1.1.0")
    place.clock.now += timedelta(seconds=61)
    for number in range(counts.get("well", 0)):
        place.report(f"well-{number}", "1.1.0")
    for number in range(counts.get("earlier", 0)):
        place.report(f"earlier-{number}", "1.0.0", "1.1.0", sequence=1)
    for number in range(counts.get("sick", 0)):
        place.report(f"sick-{number}", "1.0.0", "1.1.0")


@pytest.mark.parametrize(
    ("rule", "counts", "goes_back"),
    [
        (FleetRollback(enabled=True, minimum_pods=2), {"sick": 2, "well": 9}, True),
        (FleetRollback(enabled=False, minimum_pods=2), {"sick": 9}, False),
        (FleetRollback(enabled=True, minimum_pods=3), {"sick": 2}, False),
        (
            FleetRollback(enabled=True, minimum_pods=2, minimum_percent=50.0),
            {"sick": 2, "well": 3},
            False,
        ),
        (FleetRollback(enabled=True, minimum_pods=3), {"silent": 2, "sick": 2}, False),
        (FleetRollback(enabled=True, minimum_pods=3), {"earlier": 2, "sick": 2}, False),
    ],
)
def test_both_numbers_must_be_reached_by_pods_of_the_last_minute(
    place: Place, rule: FleetRollback, counts: dict[str, int], goes_back: bool
) -> None:
    """What is off, too few, too small a part, long ago or of another promotion does not count."""
    place.rule(rule)
    fleet(place, **counts)
    assert place.channels.get(STABLE).sequence == (3 if goes_back else 2)


def test_one_pod_that_reverts_again_and_again_is_still_one(place: Place) -> None:
    """A quorum counts pods, not reverts."""
    place.rule(FleetRollback(enabled=True, minimum_pods=2))
    place.promote("1.0.0")
    place.promote("1.1.0")
    for number in range(1, 6):
        place.report("a", "1.0.0", "1.1.0", number=number)
    assert place.channels.get(STABLE).sequence == 2


def test_a_canary_that_fails_is_ended_and_the_primary_stays(place: Place) -> None:
    """Going back means back to what most streams were served by all along."""
    place.rule(FleetRollback(enabled=True, minimum_pods=2))
    place.promote("1.0.0")
    place.promote("1.1.0", canary="1.2.0", shadow="1.3.0")
    for name in "ab":
        place.report(name, "1.1.0", "1.2.0", role=Role.CANARY)
    newest = place.channels.newest(STABLE)
    assert newest is not None
    assert newest.rollout.pins().keys() == {Role.PRIMARY}
    assert newest.rollout.primary.version == str(version_name("1.1.0"))


def test_a_primary_that_fails_beside_a_canary_gives_way_to_the_one_before(place: Place) -> None:
    """That the canary ends, too, is not enough: the primary is what pods have left."""
    place.rule(FleetRollback(enabled=True, minimum_pods=2))
    place.promote("1.0.0")
    place.promote("1.1.0", canary="1.2.0")
    for name in "ab":
        place.report(name, "1.0.0", "1.1.0")
    newest = place.channels.newest(STABLE)
    assert newest is not None
    assert newest.kind is PromotionKind.AUTOMATIC_ROLLBACK
    assert newest.rollout.pins().keys() == {Role.PRIMARY}
    assert newest.rollout.primary.version == str(version_name("1.0.0"))


def test_what_the_registry_went_back_to_it_does_not_leave_by_itself(place: Place) -> None:
    """Where the last good version fails too, people decide: two versions do not flap."""
    place.rule(FleetRollback(enabled=True, minimum_pods=2))
    fleet(place, sick=2)
    assert place.channels.get(STABLE).sequence == 3
    for name in "ab":
        place.report(name, "1.1.0", "1.0.0")
    assert place.channels.get(STABLE).sequence == 3


def test_where_there_is_nothing_to_go_back_to_nothing_happens(place: Place) -> None:
    """The reports are taken all the same."""
    place.rule(FleetRollback(enabled=True, minimum_pods=2))
    place.promote("1.0.0")
    for name in "abc":
        place.report(name, "1.1.0", "1.0.0")
    assert place.channels.get(STABLE).sequence == 1
    place.promote("1.1.0")
    Versions(place.store, place.clock).yank(
        ALICE, version_name("1.0.0"), reason="bad", request_id="", validate_only=False
    )
    for name in "abc":
        place.report(name, "1.0.0", "1.1.0", number=2)
    assert place.channels.get(STABLE).sequence == 2


def test_replicas_that_see_one_quorum_commit_one_rollback(place: Place) -> None:
    """Sixteen pods revert at once on three replicas."""
    place.rule(FleetRollback(enabled=True, minimum_pods=2))
    place.promote("1.0.0")
    place.promote("1.1.0")
    replicas = [place.replica() for _ in range(3)]
    with ThreadPoolExecutor(16) as pool:
        list(
            pool.map(
                lambda n: place.report(f"p{n}", "1.0.0", "1.1.0", sequence=2, pods=replicas[n % 3]),
                range(16),
            )
        )
    assert place.channels.get(STABLE).sequence == 3


def test_a_quorum_that_a_crash_cut_off_is_seen_when_the_report_comes_again(place: Place) -> None:
    """The pod was not answered, so it reports once more."""
    place.rule(FleetRollback(enabled=True, minimum_pods=2))
    place.promote("1.0.0")
    place.promote("1.1.0")
    place.report("a", "1.0.0", "1.1.0")
    store = FaultyStore(
        place.store,
        when=lambda operation: (
            Fault.REFUSE
            if operation.method == "put" and operation.key.startswith("history/")
            else None
        ),
    )
    left = revert("b", "1.1.0", sequence=2)
    with pytest.raises(StoreUnavailable):
        sent(place.replica(store), pod("b"), 1, left)
    assert place.channels.get(STABLE).sequence == 2
    sent(place.replica(), pod("b"), 1, left)
    assert place.channels.get(STABLE).sequence == 3


def test_a_pod_reports_for_itself_alone(place: Place) -> None:
    """Whoever has no grant for a pod is refused before anything of its report is kept."""
    other = replace(POD, pods=("b",))
    for caller in (other, replace(POD, pods=()), replace(POD, pods=("asr-*/*",))):
        with pytest.raises(Forbidden, match="its own pods: ") as caught:
            place.pods.report(caller, pod("a"), report_number=1, reverts=[], outcomes=[])
        assert (caught.value.reason, caught.value.field) == ("POD_NOT_CALLER", "pod.name")
    with pytest.raises(NotFound):
        place.pods.get(PodName("a"))
    place.pods.report(other, pod("b"), report_number=1, reverts=[], outcomes=[])
    of_model = replace(POD, pods=(f"{STABLE.model}/c",))
    place.pods.report(of_model, pod("c"), report_number=1, reverts=[], outcomes=[])


def test_of_pods_under_one_grant_none_speaks_for_another(place: Place) -> None:
    """A pod that is not lost is reported by its own principal; a lost one may have a new one."""
    place.promote("1.0.0")
    thief = Caller("spiffe://voiceflow/pod/thief", pods=("*",))
    sent(place.pods, pod("a"), 1)
    for said, number, reverts in (
        (pod("a"), 1, []),  # the very report that is known
        (pod("a"), 2, []),
        (pod("a", start=86_400), 1, []),
        (pod("a"), 2, [revert("a", "1.0.0")]),
    ):
        with pytest.raises(Forbidden) as caught:
            place.pods.report(thief, said, report_number=number, reverts=reverts, outcomes=[])
        assert (caught.value.reason, caught.value.field) == ("POD_NOT_CALLER", "pod.name")
        assert POD.principal not in caught.value.message
    assert not place.pods.reverts(STABLE, page_size=1, page_token="").items
    place.clock.now += timedelta(seconds=31)
    place.pods.report(thief, pod("a"), report_number=1, reverts=[], outcomes=[])
    with pytest.raises(Forbidden):
        sent(place.pods, pod("a"), 2)


def test_outcomes_of_two_versions_are_added_up_over_the_channels_pods(place: Place) -> None:
    """Generations of a pod are one pod; pods of other channels do not count."""
    place.promote("1.0.0")

    def reports(name: str, channel: ChannelName, turns: int) -> None:
        place.pods.report(
            POD,
            pod(name, channel=channel),
            report_number=1,
            reverts=[],
            outcomes=[
                outcome("1.0.0", streams=10, turns=turns),
                outcome("1.1.0", streams=5, turns=2 * turns, role=Role.CANARY),
                outcome("1.1.0", streams=5, turns=2 * turns),
            ],
        )

    for number, turns in enumerate((100, 110, 120)):
        reports(f"p{number}", STABLE, turns)
    reports("other", EDGE, 10**6)
    found = place.pods.compare(STABLE, version_name("1.0.0"), version_name("1.1.0"))
    assert (found.base.turns, found.target.turns, found.target.streams) == (330, 1320, 30)
    assert (found.base_pods, found.target_pods) == (3, 3)
    (per_stream,) = [one for one in found.comparisons if one.name == "turns_per_stream"]
    assert (per_stream.base, per_stream.target) == (11.0, 44.0)
    assert per_stream.difference_low is not None
    assert per_stream.difference_low < 33.0 < (per_stream.difference_high or 0.0)
    nobody = place.pods.compare(STABLE, version_name("1.0.0"), version_name("1.3.0"))
    assert (nobody.target_pods, nobody.target.streams, nobody.comparisons) == (0, 0, ())


def outcome(version: str, *, role: Role = Role.PRIMARY, **counts: object) -> VersionOutcomes:
    """What a pod tells of a version."""
    return VersionOutcomes(version=str(version_name(version)), role=role, **counts)  # type: ignore[arg-type]


def histogram(*bounds: float, counts: tuple[int, ...]) -> VersionOutcomes:
    """An outcome with latencies."""
    return outcome("1.0.0", compute_latency_seconds=Histogram(upper_bounds=bounds, counts=counts))


def histogram_of(**values: float) -> Histogram:
    """One bin of latencies."""
    return Histogram(upper_bounds=(0.1,), counts=(1, 0), **values)


@pytest.mark.parametrize(
    ("act", "field"),
    [
        (lambda pods: sent(pods, pod("a"), 0), "report_number"),
        (
            lambda pods: sent(pods, pod("a", labels={str(n): "" for n in range(17)}), 1),
            "pod.labels",
        ),
        (lambda pods: sent(pods, pod("a", labels={"x" * 999: ""}), 1), "pod.labels"),
        (lambda pods: sent(pods, pod("a"), 1, *[revert("a", "1.0.0")] * 101), "reverts"),
        (lambda pods: sent(pods, pod("a"), 1, revert("b", "1.0.0")), "reverts[0].pod"),
        (lambda pods: told(pods, outcome("1.0.0", turns=-1)), "outcomes[0].turns"),
        (
            lambda pods: told(pods, outcome("1.0.0", speech_seconds=float("nan"))),
            "outcomes[0].speech",
        ),
        (lambda pods: told(pods, outcome("1.0.0", hops=2**63 - 1)), "outcomes[0].hops"),
        (
            lambda pods: told(pods, outcome("1.0.0", speech_seconds=3e11)),
            "outcomes[0].speech",
        ),
        (lambda pods: told(pods, outcome("1.0.0", score_sum=-1e200)), "outcomes[0].score_sum"),
        (
            lambda pods: told(pods, outcome("1.0.0", score_sum_of_squares=1.7e308)),
            "outcomes[0].score_sum_of_squares",
        ),
        (
            lambda pods: told(pods, outcome("1.0.0", score_sum_of_squares=-1.0)),
            "outcomes[0].score_sum_of_squares",
        ),
        *(
            (
                lambda pods, part=part, whole=whole: told(
                    pods,
                    outcome("1.0.0", **{whole: 4, part: 5}),  # type: ignore[arg-type]
                ),
                f"outcomes[0].{part}",
            )
            for part, whole in (
                ("failed_streams", "streams"),
                ("failed_hops", "hops"),
                ("non_finite_hops", "hops"),
                ("speakers_merged", "speakers"),
                ("differing_frames", "compared_frames"),
            )
        ),
        (
            lambda pods: told(pods, histogram(*range(101), counts=(0,) * 102)),
            "outcomes[0].compute_latency_seconds.upper_bounds",
        ),
        (
            lambda pods: told(pods, histogram(0.1, float("inf"), counts=(1, 1, 1))),
            "outcomes[0].compute_latency_seconds.upper_bounds[1]",
        ),
        (
            lambda pods: told(pods, histogram(-0.1, counts=(1, 1))),
            "outcomes[0].compute_latency_seconds.upper_bounds[0]",
        ),
        (
            lambda pods: told(pods, histogram(0.1, 0.2, counts=(2**63 - 1,) * 3)),
            "outcomes[0].compute_latency_seconds.counts[0]",
        ),
        (
            lambda pods: told(
                pods, outcome("1.0.0", compute_latency_seconds=histogram_of(sum=1.7e308))
            ),
            "outcomes[0].compute_latency_seconds.sum",
        ),
        (
            lambda pods: told(pods, histogram(0.2, 0.1, counts=(1, 1, 1))),
            "outcomes[0].compute_latency_seconds.upper_bounds",
        ),
        (
            lambda pods: told(pods, histogram(0.1, counts=(1,))),
            "outcomes[0].compute_latency_seconds.counts",
        ),
        (
            lambda pods: told(pods, histogram(0.1, counts=(1, -1))),
            "outcomes[0].compute_latency_seconds.counts[1]",
        ),
    ],
)
def test_a_report_that_could_not_be_added_up_is_refused(
    place: Place, act: Callable[[Pods], object], field: str
) -> None:
    """Each fault names its field, and nothing is stored."""
    with pytest.raises(InvalidInput) as caught:
        act(place.pods)
    assert (caught.value.reason, caught.value.field) == ("FIELD_INVALID", field)
    assert names(place, PodFilter(include_lost=True)) == []


def changed(said: Pod, **generation: object) -> Pod:
    """A pod whose generation says something else."""
    (first,) = said.generations
    return said.model_copy(update={"generations": (first.model_copy(update=generation),)})


LONG = "\U0001f600" * 1025


@pytest.mark.parametrize(
    ("said", "field"),
    [
        (pod("a").model_copy(update={"software_version": LONG}), "pod.software_version"),
        (changed(pod("a"), message=LONG), "pod.generations[0].message"),
        (changed(pod("a"), reason=LONG), "pod.generations[0].reason"),
        (
            changed(pod("a"), version=pin("1.0.0").model_copy(update={"manifest_digest": LONG})),
            "pod.generations[0].version.manifest_digest",
        ),
        (
            pod("a").model_copy(update={"generations": pod("a").generations * 33}),
            "pod.generations",
        ),
    ],
)
def test_a_pod_that_says_too_much_is_refused(place: Place, said: Pod, field: str) -> None:
    """Each text and each list has its bound."""
    with pytest.raises(InvalidInput) as caught:
        sent(place.pods, said, 1)
    assert (caught.value.reason, caught.value.field) == ("FIELD_INVALID", field)


def test_a_pod_that_says_all_it_may_fits_into_a_list_many_times(place: Place) -> None:
    """No pod can make the list of all pods unreadable."""
    text = LONG[:1024]
    full = pod("a", labels={f"{n:x}" + text[:255]: text[:256] for n in range(16)})
    full = changed(
        full,
        message=text,
        reason=text,
        version=VersionPin(version=str(version_name("1.0.0")), manifest_digest=text),
    ).model_copy(update={"software_version": text})
    full = full.model_copy(update={"generations": full.generations * MAXIMUM_GENERATIONS})
    sent(place.pods, full, 1)
    assert pod_to_wire(place.pods.get(PodName("a"))).ByteSize() < 512 << 10


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"sequence": 3}, "FIELD_INVALID", "sequence"),
        ({"sequence": 0}, "FIELD_INVALID", "sequence"),
        ({"seen": LONG}, "FIELD_INVALID", "seen"),
        ({"allowed": LONG}, "FIELD_INVALID", "allowed"),
        ({"hops": 2**63 - 1}, "FIELD_INVALID", "hops"),
        ({"from_version": VersionPin(version="x")}, "NAME_INVALID", "from_version.version"),
        ({"to_version": VersionPin(version="x")}, "NAME_INVALID", "to_version.version"),
    ],
)
def test_a_revert_that_cannot_have_been_is_refused(
    place: Place, change: dict[str, object], reason: str, field: str
) -> None:
    """Of a promotion that is not there yet, of what is no version, or with too long a text."""
    place.promote("1.0.0")
    place.promote("1.1.0")
    with pytest.raises(InvalidInput) as caught:
        sent(place.pods, pod("a"), 1, revert("a", "1.1.0", sequence=2).model_copy(update=change))
    assert (caught.value.reason, caught.value.field) == (reason, f"reverts[0].{field}")
    assert not place.pods.reverts(STABLE, page_size=0, page_token="").items


def told(pods: Pods, *outcomes: VersionOutcomes) -> None:
    """A report of outcomes."""
    pods.report(POD, pod("a"), report_number=1, reverts=[], outcomes=outcomes)


@pytest.mark.parametrize(
    "identifier", ["x", "../../history/x", "", "A" * 36, "5DB1F4F2-5A1B-4C1E-9D3A-0C8A5C0FFEE0"]
)
def test_r17_a_revert_is_named_by_a_uuid(place: Place, identifier: str) -> None:
    """What becomes a key of the store is checked before."""
    left = revert("a", "1.0.0").model_copy(update={"name": f"{STABLE}/reverts/{identifier}"})
    with pytest.raises(InvalidInput) as caught:
        sent(place.pods, pod("a"), 1, left)
    assert (caught.value.reason, caught.value.field) == ("NAME_INVALID", "reverts[0].name")


def test_versions_that_cannot_be_compared_are_refused(place: Place) -> None:
    """One version, or versions of another model."""
    place.promote("1.0.0")
    with pytest.raises(InvalidInput):
        place.pods.compare(STABLE, version_name("1.0.0"), version_name("1.0.0"))
    other = ChannelName("separator", "stable")
    with pytest.raises(InvalidInput):
        place.pods.compare(other, version_name("1.0.0"), version_name("1.1.0"))
    with pytest.raises(NotFound):
        place.pods.compare(EDGE, version_name("1.0.0"), version_name("1.1.0"))
