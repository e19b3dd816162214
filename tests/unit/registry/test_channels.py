"""Channels: one promotion for each etag, answers that retries find again, and what served when."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.channels import (
    ALICE,
    BEGINNING,
    BOB,
    OPEN_POLICY,
    STABLE,
    Clock,
    Passed,
    publish,
    replica,
    request_id,
    rollout,
    version_name,
)
from tests.fakes.memory_store import MemoryStore
from tests.fakes.metrics import counted
from tests.fakes.storage import Crashed, Fault, FaultyStore, Operation
from voiceflow.catalog.channels import Promotion
from voiceflow.catalog.gates import Gate
from voiceflow.catalog.names import ChannelName, ModelName
from voiceflow.errors import Conflict, InvalidInput, NotAllowedNow, NotFound
from voiceflow.identity.caller import Caller
from voiceflow_registry.channels.channels import Channels
from voiceflow_registry.records import ChannelHint, channel_key, encode, history_key
from voiceflow_registry.storage.object_store import StoreUnavailable
from voiceflow_registry.versions.versions import Versions

EDGE = ChannelName("diarizer", "edge")


@pytest.fixture
def store() -> MemoryStore:
    """A store with versions 1.0.0 to 1.9.0."""
    store = MemoryStore()
    for minor in range(10):
        publish(store, f"1.{minor}.0")
    return store


def promoted(channels: Channels, *versions: str, name: ChannelName = STABLE) -> list[Promotion]:
    """Promotes some versions, one after another."""
    made = []
    for version in versions:
        newest = channels.newest(name)
        _, promotion = channels.promote(
            BOB, name, rollout=rollout(version), etag=newest.etag if newest else ""
        )
        made.append(promotion)
    return made


def everything(store: MemoryStore) -> dict[str, bytes]:
    """All objects."""
    return {info.key: store.get(info.key).content for info in store.list("")}


class Interrupted(MemoryStore):
    """Does something else right before an operation on keys that begin so, once."""

    def __init__(self, prefix: str, act: Callable[[], None]) -> None:
        super().__init__()
        self.prefix, self.act = prefix, act

    def put(self, key: str, content: bytes, *, if_generation: int) -> int:
        """See the port."""
        if key.startswith(self.prefix):
            self.prefix = "-"
            self.act()
        return super().put(key, content, if_generation=if_generation)


def test_the_first_promotion_makes_the_channel(store: MemoryStore) -> None:
    """A channel exists from then on, and is its newest promotion."""
    channels = replica(store)
    with pytest.raises(NotFound) as caught:
        channels.get(STABLE)
    assert caught.value.reason == "CHANNEL_NOT_FOUND"
    channel, first = channels.promote(BOB, STABLE, rollout=rollout("1.0.0"), etag="")
    assert channels.get(STABLE) == channel
    (second,) = promoted(channels, "1.1.0")
    channel = channels.get(STABLE)
    assert (channel.sequence, channel.etag, channel.rollout) == (2, second.etag, second.rollout)
    assert (channel.create_time, channel.update_time) == (first.commit_time, second.commit_time)
    assert list(channels.promotions_after(STABLE, 0)) == [first, second]


def test_a_version_that_was_never_published_is_named_by_its_field(store: MemoryStore) -> None:
    """The error tells which of the versions it is."""
    with pytest.raises(NotFound) as caught:
        replica(store).promote(BOB, STABLE, rollout=rollout("1.0.0", canary="2.0.0"), etag="")
    assert caught.value.reason == "VERSION_NOT_FOUND"
    assert caught.value.field == "rollout.canary.pin.version"


def test_gates_are_those_that_count_for_the_channel(store: MemoryStore) -> None:
    """What the policy demands is asked of the validations, and told when it is missing."""
    passed = Passed()
    demanding = OPEN_POLICY.model_copy(update={"demanded_gates": (Gate.BEHAVIOUR,)})
    channels = replica(store, passed=passed, policy=demanding)
    with pytest.raises(NotAllowedNow) as caught:
        promoted(channels, "1.0.0")
    assert caught.value.reason == "GATES_NOT_PASSED"
    passed.gates[str(version_name("1.0.0"))] = {Gate.BEHAVIOUR}
    assert promoted(channels, "1.0.0")[0].sequence == 1


def test_validate_only_answers_as_if_and_writes_nothing(store: MemoryStore) -> None:
    """The answer's statement is what will be signed, and no object was touched."""
    channels = replica(store, clock=Clock())
    before = everything(store)
    channel, promotion = channels.promote(
        BOB, STABLE, rollout=rollout("1.0.0"), etag="", validate_only=True, request_id=request_id()
    )
    assert everything(store) == before
    done, committed = channels.promote(BOB, STABLE, rollout=rollout("1.0.0"), etag="")
    assert committed.statement == promotion.statement
    assert (done.etag, done.sequence) == (channel.etag, channel.sequence)


@pytest.mark.parametrize("first", [True, False])
def test_r20_of_promoters_with_one_etag_one_wins(store: MemoryStore, first: bool) -> None:
    """Sixteen callers on three replicas, the first promotion or a later one: 1 wins, 15 ABORTED."""
    etag = "" if first else promoted(replica(store), "1.0.0")[0].etag
    replicas = [replica(store) for _ in range(3)]
    together = threading.Barrier(16)

    def race(caller: int) -> str:
        together.wait()
        try:
            replicas[caller % 3].promote(
                Caller(f"caller:{caller}"),
                STABLE,
                rollout=rollout(f"1.{1 + caller % 9}.0"),
                etag=etag,
                request_id=request_id(),
            )
        except Conflict as error:
            return error.reason
        return "won"

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(race, range(16)))
    assert sorted(results) == ["ETAG_STALE"] * 15 + ["won"]
    assert replica(store).get(STABLE).sequence == (1 if first else 2)


def test_racing_promoters_that_read_again_all_get_their_turn(store: MemoryStore) -> None:
    """Two and sixteen callers that decide again after ABORTED: no gap, no fork, none is lost."""
    replicas = [replica(store, policy=OPEN_POLICY) for _ in range(3)]
    won: list[tuple[int, int]] = []

    def promote_until_done(caller: int) -> None:
        channels = replicas[caller % 3]
        while True:
            newest = channels.newest(STABLE)
            wanted = rollout("1.0.0", canary="1.1.0", percentage=1.0 + caller)
            try:
                _, made = channels.promote(
                    BOB, STABLE, rollout=wanted, etag=newest.etag if newest else ""
                )
            except Conflict:
                continue
            won.append((made.sequence, caller))
            return

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(promote_until_done, range(16)))
    served = list(replica(store).promotions_after(STABLE, 0))
    assert [promotion.sequence for promotion in served] == list(range(1, 17))
    assert [caller for _, caller in sorted(won)] == [
        promotion.rollout.canary.percentage - 1.0
        for promotion in served
        if promotion.rollout.canary
    ]


def test_a_retry_finds_its_answer_on_every_replica(store: MemoryStore) -> None:
    """The same caller, id and payload get the first answer, even after others have promoted."""
    one, other = replica(store), replica(store)
    asked = {"rollout": rollout("1.0.0"), "etag": "", "request_id": request_id()}
    answer = one.promote(BOB, STABLE, **asked)  # type: ignore[arg-type]
    assert other.promote(BOB, STABLE, **asked) == answer  # type: ignore[arg-type]
    promoted(one, "1.1.0", "1.2.0")
    for channels in (one, other, replica(store)):
        assert channels.promote(BOB, STABLE, **asked) == answer  # type: ignore[arg-type]
    assert one.get(STABLE).sequence == 3


def test_r23_a_retry_finds_its_answer_without_the_index(store: MemoryStore) -> None:
    """The index of requests may be gone: the history itself tells, from the caller's etag on."""
    channels = replica(store)
    (first,) = promoted(channels, "1.0.0")
    asked = {"rollout": rollout("1.1.0"), "etag": first.etag, "request_id": request_id()}
    answer = channels.promote(BOB, STABLE, **asked)  # type: ignore[arg-type]
    promoted(channels, "1.2.0", "1.3.0")
    for info in list(store.list("requests/")):
        store.delete(info.key, if_generation=info.generation)
    assert replica(store).promote(BOB, STABLE, **asked) == answer  # type: ignore[arg-type]
    assert channels.get(STABLE).sequence == 4


def test_a_request_id_with_another_payload_is_refused(store: MemoryStore) -> None:
    """Also where the index is lost: the newest promotion tells."""
    channels = replica(store)
    used = request_id()
    _, first = channels.promote(BOB, STABLE, rollout=rollout("1.0.0"), etag="", request_id=used)
    for index_is_there in (True, False):
        if not index_is_there:
            for info in list(store.list("requests/")):
                store.delete(info.key, if_generation=info.generation)
        with pytest.raises(InvalidInput) as caught:
            channels.promote(
                BOB, STABLE, rollout=rollout("1.1.0"), etag=first.etag, request_id=used
            )
        assert caught.value.reason == "REQUEST_ID_REUSED"


def test_a_request_that_is_under_way_twice_is_done_once() -> None:
    """A caller did not wait for its answer: whichever of the two commits, both are answered."""

    def overtake() -> None:
        answers.append(replica(store).promote(BOB, STABLE, **asked))  # type: ignore[arg-type]

    asked = {"rollout": rollout("1.0.0"), "etag": "", "request_id": request_id()}
    answers = []
    store = Interrupted("history/", overtake)
    publish(store, "1.0.0")
    before = counted("voiceflow.promotions")
    answers.append(replica(store).promote(BOB, STABLE, **asked))  # type: ignore[arg-type]
    assert answers[0] == answers[1]
    assert replica(store).get(STABLE).sequence == 1
    assert counted("voiceflow.promotions") == before + 1


def test_of_two_payloads_with_one_id_at_once_one_is_carried_out() -> None:
    """Two channels, one id, two replicas: the second is refused before it commits anything."""
    edge = ChannelName("diarizer", "edge")
    used = request_id()

    def overtake() -> None:
        replica(place).promote(BOB, edge, rollout=rollout("1.0.0"), etag="", request_id=used)

    place = Interrupted("requests/", overtake)
    publish(place, "1.0.0")
    with pytest.raises(InvalidInput) as caught:
        replica(place).promote(BOB, STABLE, rollout=rollout("1.0.0"), etag="", request_id=used)
    assert caught.value.reason == "REQUEST_ID_REUSED"
    assert replica(place).newest(STABLE) is None
    assert replica(place).get(edge).sequence == 1
    assert not list(place.list("holds/"))


@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.REFUSE])
def test_an_id_whose_commit_never_came_is_free_for_its_payload_alone(
    store: MemoryStore, fault: Fault
) -> None:
    """The process died in between: the same goes on, another payload is refused."""

    def when(operation: Operation) -> Fault | None:
        committing = operation.method == "put" and operation.key == history_key(STABLE, 1)
        return fault if committing else None

    asked = {"rollout": rollout("1.0.0"), "etag": "", "request_id": request_id()}
    with pytest.raises((Crashed, StoreUnavailable)):
        replica(FaultyStore(store, when=when)).promote(BOB, STABLE, **asked)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput) as caught:
        replica(store).promote(BOB, STABLE, **asked | {"rollout": rollout("1.1.0")})  # type: ignore[arg-type]
    assert caught.value.reason == "REQUEST_ID_REUSED"
    answer = replica(store).promote(BOB, STABLE, **asked)  # type: ignore[arg-type]
    assert answer[1].sequence == 1
    promoted(replica(store), "1.1.0")
    assert replica(store).promote(BOB, STABLE, **asked) == answer  # type: ignore[arg-type]


@pytest.mark.parametrize("prefix", ["channels/", "holds/"])
def test_what_only_saves_work_may_fail_after_the_commit(store: MemoryStore, prefix: str) -> None:
    """A promotion that stands is answered, though its index, hint or hold could not be written."""

    def fault(operation: Operation) -> Fault | None:
        committed = store.info(history_key(STABLE, 1)) is not None
        return Fault.REFUSE if committed and operation.key.startswith(prefix) else None

    asked = {"rollout": rollout("1.0.0"), "etag": "", "request_id": request_id()}
    answer = replica(FaultyStore(store, when=fault)).promote(BOB, STABLE, **asked)  # type: ignore[arg-type]
    assert replica(store).promote(BOB, STABLE, **asked) == answer  # type: ignore[arg-type]


def test_an_id_that_is_no_uuid_is_refused(store: MemoryStore) -> None:
    """A request id is a UUID or empty."""
    with pytest.raises(InvalidInput) as caught:
        replica(store).promote(BOB, STABLE, rollout=rollout("1.0.0"), etag="", request_id="../../x")
    assert (caught.value.reason, caught.value.field) == ("FIELD_INVALID", "request_id")


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 17, 31])
def test_the_newest_is_found_whatever_the_hint_says(store: MemoryStore, count: int) -> None:
    """Missing, lagging, ahead, corrupt: the history is the state, the hint only saves work."""
    channels = replica(store)
    for sequence in range(1, count + 1):
        newest = channels.newest(STABLE)
        channels.promote(
            BOB,
            STABLE,
            rollout=rollout("1.0.0", canary="1.1.0", percentage=sequence),
            etag=newest.etag if newest else "",
        )
    for hint in (None, b"garbage", *(_hint(sequence) for sequence in (0, 1, count, count + 9))):
        key = channel_key(STABLE)
        held = store.info(key)
        if held is not None:
            store.delete(key, if_generation=held.generation)
        if hint is not None:
            store.put(key, hint, if_generation=0)
        assert replica(store).get(STABLE).sequence == count


def _hint(sequence: int) -> bytes:
    return encode(ChannelHint(sequence=sequence))


def test_the_newest_of_a_long_history_takes_few_looks(store: MemoryStore) -> None:
    """A replica that has just started does not read a history from its beginning."""
    channels = replica(store)
    for sequence in range(1, 100):
        newest = channels.newest(STABLE)
        channels.promote(
            BOB,
            STABLE,
            rollout=rollout("1.0.0", canary="1.1.0", percentage=sequence),
            etag=newest.etag if newest else "",
        )
    for most in (12, 20):
        counting = FaultyStore(store)
        assert replica(counting).get(STABLE).sequence == 99
        assert len(counting.operations) < most
        hint = store.info(channel_key(STABLE))
        assert hint is None or store.delete(hint.key, if_generation=hint.generation)


def test_history_comes_newest_first_in_pages_that_promotions_do_not_disturb(
    store: MemoryStore,
) -> None:
    """What stood in it when the first page was read is listed exactly once."""
    channels = replica(store)
    made = promoted(channels, *(f"1.{minor}.0" for minor in range(7)))
    listed: list[Promotion] = []
    page = channels.history(STABLE, page_size=3, page_token="")
    while True:
        listed.extend(page.items)
        if not page.next_page_token:
            break
        newest = channels.get(STABLE)
        channels.promote(
            BOB,
            STABLE,
            rollout=rollout("1.6.0", canary="1.7.0", percentage=newest.sequence),
            etag=newest.etag,
        )
        page = channels.history(STABLE, page_size=3, page_token=page.next_page_token)
    assert listed == made[::-1]


def test_history_can_be_narrowed_to_a_version_in_any_role(store: MemoryStore) -> None:
    """Promotions that name it as primary, canary or shadow."""
    channels = replica(store)
    promoted(channels, "1.0.0", "1.1.0")
    channels.promote(
        BOB,
        STABLE,
        rollout=rollout("1.1.0", shadow="1.2.0"),
        etag=channels.get(STABLE).etag,
    )
    for version, sequences in (("1.1.0", [3, 2]), ("1.2.0", [3]), ("1.9.0", [])):
        page = channels.history(
            STABLE, page_size=0, page_token="", version=str(version_name(version))
        )
        assert [promotion.sequence for promotion in page.items] == sequences
    with pytest.raises(InvalidInput) as caught:
        channels.history(STABLE, page_size=0, page_token="", version="1.0.0")
    assert (caught.value.reason, caught.value.field) == ("NAME_INVALID", "version")


@settings(deadline=None, max_examples=25)
@given(
    drifts=st.lists(st.integers(-3, 3), min_size=1, max_size=8),
    asked=st.integers(-5, 15),
)
def test_what_served_at_a_time_is_the_highest_sequence_committed_by_then(
    drifts: list[int], asked: int
) -> None:
    """Whatever clocks of replicas say: of promotions not later than the time, the last one."""
    store = MemoryStore()
    publish(store, "1.0.0")
    publish(store, "1.1.0")
    clock = Clock()
    channels = replica(store, clock=clock)
    for sequence, drift in enumerate(drifts, 1):
        clock.now = BEGINNING + timedelta(seconds=sequence + drift)
        newest = channels.newest(STABLE)
        channels.promote(
            BOB,
            STABLE,
            rollout=rollout("1.0.0", canary="1.1.0", percentage=sequence),
            etag=newest.etag if newest else "",
        )
    time = BEGINNING + timedelta(seconds=asked)
    by_then = [
        promotion
        for promotion in channels.promotions_after(STABLE, 0)
        if promotion.commit_time <= time
    ]
    page = channels.history(STABLE, page_size=0, page_token="", at_time=time)
    assert list(page.items) == by_then[-1:]
    assert page.next_page_token == ""


def test_a_page_token_belongs_to_its_query(store: MemoryStore) -> None:
    """Another channel, filter or list does not take it, nor does it take what was made up."""
    channels = replica(store)
    promoted(channels, "1.0.0", "1.1.0")
    promoted(channels, "1.0.0", name=EDGE)
    token = channels.history(STABLE, page_size=1, page_token="").next_page_token
    assert token
    for act in (
        lambda: channels.history(EDGE, page_size=1, page_token=token),
        lambda: channels.history(
            STABLE, page_size=1, page_token=token, version=str(version_name("1.0.0"))
        ),
        lambda: channels.list(None, version="", page_size=1, page_token=token),
        lambda: channels.history(STABLE, page_size=1, page_token=token[:-1]),
    ):
        with pytest.raises(InvalidInput) as caught:
            act()
        assert caught.value.reason == "PAGE_TOKEN_INVALID"


def test_channels_are_listed_by_name_and_by_the_version_that_they_serve(
    store: MemoryStore,
) -> None:
    """Of one model or all, in pages; a policy alone makes no channel."""
    channels = replica(store)
    names = [ChannelName("diarizer", name) for name in ("blue", "edge", "edge-2", "stable")]
    for name in reversed(names):
        promoted(channels, "1.0.0", name=name)
    promoted(channels, "1.1.0", name=EDGE)
    nobody = ChannelName("diarizer", "nobody")
    channels.update_policy(
        BOB,
        OPEN_POLICY.model_copy(update={"name": nobody.policy}),
        update_mask=None,
        etag=channels.policy(nobody).etag,
    )
    for parent in (None, ModelName("diarizer")):
        listed: list[str] = []
        token = ""
        while True:
            page = channels.list(parent, version="", page_size=3, page_token=token)
            listed += [channel.name for channel in page.items]
            token = page.next_page_token
            if not token:
                break
        assert listed == [str(name) for name in names]
    page = channels.list(None, version=str(version_name("1.1.0")), page_size=0, page_token="")
    assert [channel.name for channel in page.items] == [str(EDGE)]
    assert channels.naming(version_name("1.1.0")) == [EDGE]
    assert channels.naming(version_name("1.9.0")) == []
    with pytest.raises(NotFound) as caught:
        channels.list(ModelName("nothing"), version="", page_size=0, page_token="")
    assert caught.value.reason == "MODEL_NOT_FOUND"


def test_a_rollback_goes_back_and_can_be_retried(store: MemoryStore) -> None:
    """To the newest other primary, or where it is told; a retry gets the same answer."""
    channels = replica(store)
    made = promoted(channels, "1.0.0", "1.1.0", "1.2.0")
    asked = {"to_sequence": 0, "etag": made[-1].etag, "request_id": request_id()}
    answer = channels.rollback(BOB, STABLE, **asked)  # type: ignore[arg-type]
    assert answer[1].rollback_to_sequence == 2
    assert replica(store).rollback(BOB, STABLE, **asked) == answer  # type: ignore[arg-type]
    _, told = channels.rollback(BOB, STABLE, to_sequence=1, etag=answer[0].etag)
    assert told.rollout.primary.version == str(version_name("1.0.0"))
    with pytest.raises(NotFound) as caught:
        channels.rollback(BOB, STABLE, to_sequence=9, etag=told.etag)
    assert caught.value.reason == "PROMOTION_NOT_FOUND"


def test_a_yanked_version_goes_on_but_is_not_promoted_again(store: MemoryStore) -> None:
    """Yanking moves no pod; promoting and rolling back pass it over."""
    channels = replica(store)
    made = promoted(channels, "1.0.0", "1.1.0", "1.2.0")
    _yank(store, "1.1.0")
    _yank(store, "1.2.0")
    assert channels.get(STABLE).etag == made[-1].etag
    with pytest.raises(NotAllowedNow) as caught:
        channels.promote(BOB, STABLE, rollout=rollout("1.2.0", canary="1.3.0"), etag=made[-1].etag)
    assert caught.value.reason == "VERSION_YANKED"
    _, back = channels.rollback(BOB, STABLE, to_sequence=0, etag=made[-1].etag)
    assert back.rollback_to_sequence == 1


def _yank(store: MemoryStore, version: str) -> None:
    Versions(store, Clock()).yank(
        ALICE, version_name(version), reason="bad", request_id="", validate_only=False
    )


def _delete(store: MemoryStore, channels: Channels, version: str) -> None:
    Versions(store, Clock()).delete(
        ALICE,
        version_name(version),
        request_id="",
        validate_only=False,
        in_use=channels.using,
    )


@pytest.mark.parametrize("before", ["holds/", "history/"])
def test_no_promotion_names_a_version_whose_files_are_gone(before: str) -> None:
    """A version is yanked and deleted while it is being promoted: one of the two gives way."""

    def interfere() -> None:
        _yank(store, "1.0.0")
        try:
            _delete(store, replica(store), "1.0.0")
        except NotAllowedNow as error:
            refusals.append(error.reason)

    refusals: list[str] = []
    store = Interrupted(before, interfere)
    publish(store, "1.0.0")
    channels = replica(store)
    try:
        promoted(channels, "1.0.0")
    except NotAllowedNow as error:
        refusals.append(error.reason)
    deleted = store.info("deletions/diarizer/1.0.0.json") is not None
    assert deleted != (channels.newest(STABLE) is not None)
    assert refusals == [{"holds/": "VERSION_DELETED", "history/": "VERSION_IN_USE"}[before]]
    assert list(store.list("holds/")) == []


def test_a_hold_means_nothing_once_its_place_is_taken(store: MemoryStore) -> None:
    """What a crash left keeps a version until the channel's next promotion, and no longer."""
    channels = replica(store)
    promoted(channels, "1.0.0")
    store.put(f"holds/diarizer/1.5.0/stable/{2:020}-abc", b"", if_generation=0)
    _yank(store, "1.5.0")
    assert channels.using(version_name("1.5.0")) == [STABLE]
    with pytest.raises(NotAllowedNow) as caught:
        _delete(store, channels, "1.5.0")
    assert caught.value.reason == "VERSION_IN_USE"
    promoted(channels, "1.1.0")
    assert channels.using(version_name("1.5.0")) == []
    _delete(store, channels, "1.5.0")


def test_r26_a_hot_channel_writes_its_one_object_seldom(store: MemoryStore) -> None:
    """Every promotion is an object of its own; what all write is written once in several."""
    counting = FaultyStore(store)
    promoted(replica(counting), *(f"1.{minor}.0" for minor in range(8)))
    written = [
        operation
        for operation in counting.operations
        if operation == Operation("put", channel_key(STABLE))
    ]
    assert len(written) == 1
    assert counting.operations.count(Operation("put", history_key(STABLE, 8))) == 1
