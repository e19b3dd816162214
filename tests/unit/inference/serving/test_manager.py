"""What a pod does with its versions and streams, with everything around it played."""

from __future__ import annotations

import asyncio
from functools import partial
from unittest.mock import ANY

import pytest

from tests.unit.inference.serving.pods import PlayedPod, pin, pod, wanted
from voiceflow.catalog.channels import RevertRules, Role
from voiceflow.catalog.pods import Cause
from voiceflow.errors import NotFound, PackageInvalid, Unavailable
from voiceflow.pipeline.model import BoundModel
from voiceflow_inference.batcher import BatchRun, EngineLoad, ModelFailed, Urgency
from voiceflow_inference.serving.evidence import Evidence, Pair
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.placing import How
from voiceflow_inference.serving.state import Failure, Snapshot, Wanted
from voiceflow_inference.serving.wishes import Wishes

BAD = PackageInvalid("model.onnx: it gives other outputs", reason="GOLDEN_MISMATCH")


def spoil(generation: Generation) -> None:
    """A hop of it had NaN."""
    generation.tally.add_batch(BatchRun(50, 0, 1, 0.0, Urgency.LIVE))


def hang(generation: Generation) -> None:
    """A call of it does not come back."""
    generation.tally.add_batch(BatchRun(1, 1, 0, 0.0, Urgency.LIVE, hung=True))


async def test_the_first_version_serves_when_start_returns() -> None:
    """It is remembered as the last good one, and kept on the disk."""
    async with pod(wanted(7, "1.0.0")) as played:
        assert played.manager.place("s").generation.pin == pin("1.0.0")
        snapshot = played.manager.snapshot()
        assert (snapshot.desired_sequence, snapshot.serving_sequence) == (7, 7)
        assert played.source.held == [7]
        assert played.source.kept == {pin("1.0.0")}


async def test_a_pod_without_any_version_does_not_start() -> None:
    """The error is that of the version; nothing is left behind."""
    played = PlayedPod(wanted(1, "1.0.0"))
    played.workshop.errors[pin("1.0.0")] = BAD
    with pytest.raises(PackageInvalid) as caught:
        await played.manager.start()
    assert caught.value is BAD
    with pytest.raises(Unavailable) as refused:
        played.manager.place("s")
    assert refused.value.reason == "NOT_READY"
    await played.manager.close()
    assert played.source.closed
    away = PlayedPod(wanted(1, "1.0.0"))
    away.source.errors[pin("1.0.0")] = NotFound("gone", reason="VERSION_NOT_FOUND")
    with pytest.raises(NotFound):
        await away.manager.start()
    await away.manager.close()


async def test_a_pod_starts_from_the_best_version_that_there_is() -> None:
    """Where the newest cannot be served, its source says what to serve instead, until one can."""
    played = PlayedPod(wanted(3, "3.0.0"))
    played.source.others = [wanted(2, "2.0.0"), wanted(1, "1.0.0")]
    played.workshop.errors = {pin("3.0.0"): BAD, pin("2.0.0"): BAD}
    first = await played.manager.start()
    assert first.pin == pin("1.0.0")
    assert played.workshop.loads == [pin("3.0.0"), pin("2.0.0"), pin("1.0.0")]
    snapshot = played.manager.snapshot()
    assert (snapshot.desired_sequence, snapshot.serving_sequence) == (3, 1)
    assert [revert.from_version for revert in snapshot.reverts] == [pin("3.0.0"), pin("2.0.0")]
    await played.manager.close()


async def test_streams_stay_where_they_began() -> None:
    """After a swap new ones go to the new version, and the old one drains."""
    async with pod(wanted(1, "1.0.0")) as played:
        old = played.stream()
        played.source.want(wanted(2, "2.0.0"))
        await played.until(lambda: played.states() == {"1.0.0": "draining", "2.0.0": "active"})
        assert played.stream().generation.pin == pin("2.0.0")
        assert (played.on("1.0.0"), played.on("2.0.0"), old.told) == (1, 1, [])
        assert played.manager.snapshot().serving_sequence == 2


@pytest.mark.parametrize(("how", "to"), [(How.REPLAYED, "2.0.0"), (How.TOLD, None)])
async def test_streams_leave_when_their_time_is_up(how: How, to: str | None) -> None:
    """In the way that was seen to work between the two models; who goes is counted."""
    async with pod(wanted(1, "1.0.0"), how=how) as played:
        stream = played.stream()
        played.source.want(wanted(2, "2.0.0"))
        await played.until(lambda: played.states()["1.0.0"] == "draining")
        played.now = 99.0
        played.manager._look()
        assert not stream.told
        played.now = 100.0
        await played.until(lambda: stream.told)
        target = None if to is None else played.loaded(to)
        assert stream.told == [(target, how)]
        if to is None:
            played.end(stream)
        await played.until(lambda: "1.0.0" not in played.states())
        assert played.manager.snapshot().moves == {how.value: 1}
        assert played.on("2.0.0") == (to is not None)


async def test_a_version_is_not_dropped_while_streams_are_on_their_way_to_it() -> None:
    """A stream that hears its last audio again there takes a while."""
    async with pod(wanted(1, "1.0.0")) as played:
        stream = played.stream(obeys=False)
        played.source.want(wanted(2, "2.0.0"))
        await played.until(lambda: played.states()["1.0.0"] == "draining")
        played.now = 100.0
        await played.until(lambda: stream.told)
        played.source.want(wanted(3, "3.0.0"))
        await played.until(lambda: "3.0.0" in played.states())
        played.now = 150.0
        await played.until(lambda: played.states()["3.0.0"] == "active")
        played.now = 200.0
        played.manager._look()
        assert "2.0.0" in played.states()
        stream.arrive(played.loaded("2.0.0"))
        await played.until(lambda: played.states()["2.0.0"] == "draining")
        played.end(stream)
        await played.until(lambda: played.states() == {"3.0.0": "active"})


async def test_a_broken_version_is_rejected_and_told_of() -> None:
    """What was there goes on; the registry is told until it has kept it."""
    async with pod(wanted(1, "1.0.0")) as played:
        played.workshop.errors[pin("2.0.0")] = BAD
        played.source.want(wanted(2, "2.0.0"))
        await played.until(lambda: played.manager.snapshot().reverts)
        assert played.states() == {"1.0.0": "active", "2.0.0": "failed"}
        snapshot = played.manager.snapshot()
        assert (snapshot.desired_sequence, snapshot.serving_sequence) == (2, 1)
        (revert,) = snapshot.reverts
        assert revert.name.startswith("models/adder/channels/stable/reverts/")
        assert (revert.pod, revert.sequence, revert.role) == ("pods/one", 2, Role.PRIMARY)
        assert (revert.cause, revert.seen) == (Cause.WARM_FAILED, BAD.message)
        assert (revert.from_version, revert.to_version) == (pin("2.0.0"), pin("1.0.0"))
        played.manager.acknowledge([revert.name])
        assert not played.manager.snapshot().reverts
        del played.workshop.errors[pin("2.0.0")]
        played.source.want(wanted(3, "2.0.0"))
        await played.until(lambda: played.manager.snapshot().serving_sequence == 3)


async def test_a_loader_that_fails_in_its_own_way_rejects_the_version_too() -> None:
    """Whatever a model makes it do, serving goes on."""
    async with pod(wanted(1, "1.0.0")) as played:
        played.workshop.errors[pin("2.0.0")] = MemoryError()
        played.source.want(wanted(2, "2.0.0"))
        await played.until(lambda: played.states().get("2.0.0") == "failed")
        assert played.manager.snapshot().failures[-1].reason == "MODEL_CRASHED"


async def test_what_cannot_be_fetched_is_asked_for_again_and_not_rejected() -> None:
    """After pauses that become longer; that a look cannot be taken now counts likewise."""
    async with pod(wanted(1, "1.0.0")) as played:
        two = pin("2.0.0")
        played.source.errors[two] = Unavailable("away", reason="UNAVAILABLE")
        played.source.want(wanted(2, "2.0.0"))
        for number, (first, last) in enumerate([(0.0, 0.9), (1.0, 2.9), (3.0, 6.9)], 1):
            played.now = first
            await played.until(lambda: played.source.fetched.count(two) == number)  # noqa: B023
            await played.until(lambda: played.states()["2.0.0"] == "failed")
            played.now = last
            played.manager._look()
            assert played.states()["2.0.0"] == "failed"
        assert played.source.fetched.count(two) == 3
        assert len(played.manager.snapshot().failures) == 1
        assert not played.manager.snapshot().reverts
        del played.source.errors[two]
        played.workshop.errors[two] = Unavailable("no process", reason="SANDBOX_UNAVAILABLE")
        played.now = 8.0
        await played.until(lambda: two in played.workshop.loads)
        del played.workshop.errors[two]
        played.now = 99.0
        await played.until(lambda: played.states()["2.0.0"] == "active")


async def test_a_fetch_that_fails_in_its_own_way_holds_nothing_up() -> None:
    """Of a disk, say: that version is asked for again, and others are loaded meanwhile."""
    async with pod(wanted(1, "1.0.0")) as played:
        two = pin("2.0.0")
        played.source.errors[two] = PermissionError("the disk is read-only")
        played.source.want(wanted(2, "2.0.0"))
        await played.until(lambda: played.states().get("2.0.0") == "failed")
        assert played.manager.snapshot().failures[-1].reason == "FETCH_FAILED"
        assert not played.manager.snapshot().reverts
        played.source.want(wanted(3, "3.0.0"))
        await played.until(lambda: played.states().get("3.0.0") == "active")


async def test_a_version_that_is_not_wanted_any_more_is_not_loaded_to_the_end() -> None:
    """A newer promotion does not wait for it."""
    async with pod(wanted(1, "1.0.0")) as played:
        played.workshop.closed[pin("2.0.0")] = asyncio.Event()
        played.source.want(wanted(2, "2.0.0"))
        await played.until(lambda: played.states().get("2.0.0") == "loading")
        played.source.want(wanted(3, "3.0.0"))
        await played.until(lambda: played.states().get("3.0.0") == "active")
        assert played.workshop.cancelled == [pin("2.0.0")]


async def test_a_canary_takes_its_sessions_and_no_others() -> None:
    """The same session goes to the same version, as long as the rollout stands."""
    async with pod(wanted(1, "1.0.0")) as played:
        played.source.want(wanted(2, "1.0.0", "2.0.0"))
        await played.until(lambda: played.manager.snapshot().serving_sequence == 2)
        places = {name: played.manager.place(name) for name in map(str, range(50))}
        roles = [place.role for place in places.values()]
        assert 10 < roles.count(Role.CANARY) < 40
        for name, place in places.items():
            assert played.manager.place(name).generation is place.generation
            assert place.generation.pin == pin("2.0.0" if place.role is Role.CANARY else "1.0.0")
        assert played.source.held == [1, 2], "a part of a promotion is none"
        assert played.loaded("2.0.0").batcher.after_batch is not None
        assert played.loaded("1.0.0").batcher.after_batch is None
        played.source.want(wanted(3, "2.0.0"))
        await played.until(lambda: played.manager.snapshot().serving_sequence == 3)
        assert played.loaded("2.0.0").batcher.after_batch is None
        assert played.workshop.loads == [pin("1.0.0"), pin("2.0.0")]


async def test_a_canary_is_compared_with_the_primary_of_now() -> None:
    """What was measured beside another is forgotten."""
    async with pod(wanted(1, "1.0.0", "2.0.0")) as played:
        await played.until(lambda: played.manager.snapshot().serving_sequence == 1)
        tally = played.loaded("2.0.0").tally
        tally.pair(Pair(1.0, 1.0))
        played.source.want(wanted(2, "3.0.0", "2.0.0"))
        await played.until(lambda: played.manager.snapshot().serving_sequence == 2)
        assert not tally.evidence().pairs


async def test_engines_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one core their loads add up; with a core for each, the busiest counts."""
    async with pod(wanted(1, "1.0.0", "2.0.0")) as played:
        await played.until(lambda: played.manager.snapshot().serving_sequence == 1)
        for version, seconds in (("1.0.0", 0.1), ("2.0.0", 0.3)):
            load = partial(EngineLoad, 2, seconds, 0.6, seconds)
            monkeypatch.setattr(played.loaded(version).batcher, "load", load)
        roster = played.manager._roster
        assert roster.load(1) == EngineLoad(4, 0.3, 1.2, 0.3)
        assert roster.load(2) == EngineLoad(4, 0.3, 0.6, 0.3)


async def test_a_version_that_cannot_be_compared_leaves_nothing_behind() -> None:
    """Its engine ends, though it was loaded and warm."""

    def fails(*_: BoundModel) -> How:
        raise RuntimeError("whatever")

    async with pod(wanted(1, "1.0.0")) as played:
        played.manager._maker._verify = fails
        played.source.want(wanted(2, "2.0.0"))
        await played.until(lambda: played.states().get("2.0.0") == "failed")
        assert not played.workshop.made[-1].batcher._thread.is_alive()


async def test_a_client_gets_the_version_that_it_asked_for() -> None:
    """If one serves; otherwise its own place, for whoever asked to refuse."""
    async with pod(wanted(1, "1.0.0", "2.0.0")) as played:
        await played.until(lambda: played.manager.snapshot().serving_sequence == 1)
        for version in ("1.0.0", "2.0.0"):
            for session in map(str, range(9)):

                def fits(generation: Generation, version: str = version) -> bool:
                    return generation.pin == pin(version)

                assert played.manager.place(session, fits).generation.pin == pin(version)
        own = played.manager.place("s").generation
        assert played.manager.place("s", lambda _: False).generation is own


async def test_a_shadow_hears_the_primarys_streams_alone() -> None:
    """It has no streams of its own, and its engine steps back."""
    async with pod(wanted(1, "1.0.0", "2.0.0", "3.0.0")) as played:
        await played.until(lambda: played.manager.snapshot().serving_sequence == 1)
        for session in map(str, range(30)):
            place = played.manager.place(session)
            heard = played.loaded("3.0.0") if place.role is Role.PRIMARY else None
            assert place.shadow is heard
        assert played.loaded("3.0.0").batcher._calm
        played.source.want(wanted(2, "3.0.0"))
        await played.until(lambda: played.manager.snapshot().serving_sequence == 2)
        assert not played.loaded("3.0.0").batcher._calm


async def test_a_canary_that_breaks_a_rule_is_left_at_once() -> None:
    """Its streams go to the primary, new ones too, and the pod serves the promotion before."""
    async with pod(wanted(1, "1.0.0")) as played:
        played.source.want(wanted(2, "1.0.0", "2.0.0"))
        await played.until(lambda: played.manager.snapshot().serving_sequence == 2)
        session = next(
            name for name in map(str, range(50)) if played.manager.place(name).role is Role.CANARY
        )
        stream = played.stream(session)
        spoil(played.loaded("2.0.0"))
        await played.until(lambda: stream.generation.pin == pin("1.0.0"))
        assert played.manager.place(session).role is Role.PRIMARY
        snapshot = played.manager.snapshot()
        assert (snapshot.desired_sequence, snapshot.serving_sequence) == (2, 1)
        (revert,) = snapshot.reverts
        assert (revert.cause, revert.role, revert.hops) == (Cause.NON_FINITE, Role.CANARY, 50)
        assert (revert.from_version, revert.to_version) == (pin("2.0.0"), pin("1.0.0"))
        await played.until(lambda: played.on("2.0.0") == 0)
        assert played.states() == {"1.0.0": "active", "2.0.0": "failed"}


async def test_only_a_canary_is_judged_beside_the_primary() -> None:
    """A primary has nothing to be compared with, and a shadow serves nobody."""
    async with pod(wanted(1, "1.0.0", "2.0.0", "3.0.0")) as played:
        await played.until(lambda: played.manager.snapshot().serving_sequence == 1)
        compared: dict[int, Evidence | None] = {}

        class Notes:
            def look(self, rules: RevertRules, subject: Evidence, base: Evidence | None) -> None:
                del rules
                compared[subject.hops] = base

        played.manager._inspector._judge = Notes()
        for hops, version in enumerate(("1.0.0", "2.0.0", "3.0.0"), start=1):
            run = BatchRun(hops, 0, 0, 0.1, Urgency.LIVE)
            played.loaded(version).tally.add_batch(run)
        played.manager._look()
        primary = played.loaded("1.0.0").tally.evidence()
        assert compared == {1: None, 2: primary, 3: None}


async def test_a_version_without_a_role_is_not_judged() -> None:
    """What drains is on its way out anyway: nothing is left for it, and nobody is told."""
    async with pod(wanted(1, "1.0.0")) as played:
        stream = played.stream()
        played.source.want(wanted(2, "2.0.0"))
        await played.until(lambda: played.states()["1.0.0"] == "draining")
        spoil(played.loaded("1.0.0"))
        played.manager._look()
        assert played.manager.snapshot().reverts == ()
        assert played.states()["1.0.0"] == "draining"
        played.end(stream)


async def test_a_primary_that_breaks_a_rule_gives_way_to_the_one_before() -> None:
    """Without loading anything, while that is kept; loaded again, when it is not."""
    async with pod(wanted(1, "1.0.0")) as played:
        played.source.want(wanted(2, "2.0.0"))
        await played.until(lambda: played.manager.snapshot().serving_sequence == 2)
        stream = played.stream()
        spoil(played.loaded("2.0.0"))
        await played.until(lambda: stream.generation.pin == pin("1.0.0"))
        assert played.workshop.loads == [pin("1.0.0"), pin("2.0.0")]
        assert played.manager.snapshot().serving_sequence == 1
        assert played.source.held[-1] == 1, "a restart must not begin with what was left"
        assert played.source.kept >= {pin("1.0.0")}

        played.source.want(wanted(3, "3.0.0"))
        await played.until(lambda: played.manager.snapshot().serving_sequence == 3)
        played.end(stream)
        played.now = 50.0
        await played.until(lambda: "1.0.0" not in played.states())
        assert played.source.kept >= {pin("1.0.0"), pin("3.0.0")}
        spoil(played.loaded("3.0.0"))
        await played.until(lambda: played.manager.snapshot().serving_sequence == 1)
        assert played.workshop.loads[-1] == pin("1.0.0")


async def test_the_only_version_goes_on_whatever_it_does() -> None:
    """That is told once, and that there is nothing better."""
    async with pod(wanted(1, "1.0.0")) as played:
        spoil(played.loaded("1.0.0"))
        await played.until(lambda: played.manager.snapshot().reverts)
        spoil(played.loaded("1.0.0"))
        played.manager._look()
        (revert,) = played.manager.snapshot().reverts
        assert revert.to_version is None
        assert played.manager.place("s").generation.pin == pin("1.0.0")


async def test_a_pod_that_served_nothing_before_asks_its_source_what_else_there_is() -> None:
    """Also while it serves; what the source offers again and again is asked for once."""
    async with pod(wanted(2, "2.0.0")) as played:
        played.source.others = [wanted(1, "1.0.0")]
        spoil(played.loaded("2.0.0"))
        await played.until(lambda: played.manager.snapshot().serving_sequence == 1)
    wishes = Wishes(lambda wanted: wanted)
    wishes.take(wanted(1, "1.0.0"))
    failure = Failure(1, 1, pin("1.0.0"), Role.PRIMARY, "BAD", "bad")
    assert wishes.ranked(Snapshot(0.0, failures=(failure,))) == [wanted(1, "1.0.0")]


async def test_an_engine_that_does_not_come_back_is_left_before_streams_ask() -> None:
    """The stream that tells of it, and new ones, find another version at once."""
    async with pod(wanted(1, "1.0.0")) as played:
        played.source.want(wanted(2, "2.0.0"))
        await played.until(lambda: played.manager.snapshot().serving_sequence == 2)
        played.stream()
        dead = played.loaded("2.0.0")
        hang(dead)
        played.manager.failed(dead, ModelFailed("hung", reason="MODEL_HUNG"))
        other = played.manager.fallback(dead)
        assert other is not None
        assert other.pin == pin("1.0.0")
        assert played.manager.place("s").generation is other
        assert played.manager.snapshot().reverts[0].cause is Cause.HANG
        await played.until(lambda: "2.0.0" not in played.states() or not played.on("2.0.0"))


async def test_nobody_is_awaited_where_an_engine_does_not_come_back() -> None:
    """It is dropped; who was asked to go there is asked again when it is time for another."""
    async with pod(wanted(1, "1.0.0")) as played:
        stream = played.stream(obeys=False)
        played.source.want(wanted(2, "2.0.0"))
        await played.until(lambda: played.states()["1.0.0"] == "draining")
        played.now = 100.0
        await played.until(lambda: stream.told)
        dead = played.loaded("2.0.0")
        hang(dead)
        played.manager.failed(dead, ModelFailed("hung", reason="MODEL_HUNG"))
        await played.until(lambda: played.manager._roster.get(dead.number) is None)
        assert played.manager.place("s").generation.pin == pin("1.0.0")
        played.source.want(wanted(3, "3.0.0"))
        await played.until(lambda: played.states().get("3.0.0") == "active")
        played.now = 300.0
        await played.until(lambda: len(stream.told) > 1)
        assert stream.told[1:] == [(played.loaded("3.0.0"), How.CARRIED)]


async def test_an_engine_that_does_not_come_back_is_made_anew_if_there_is_no_other() -> None:
    """After a pause; until then the pod says that it is not ready."""
    async with pod(wanted(1, "1.0.0")) as played:
        dead = played.loaded("1.0.0")
        played.stream()  # which waits for a hop that does not come
        hang(dead)
        played.manager.failed(dead, ModelFailed("hung", reason="MODEL_HUNG"))
        assert played.manager.fallback(dead) is None
        with pytest.raises(Unavailable, match="no model is ready"):
            played.manager.place("s")
        for _ in range(5):
            played.manager._look()
            await asyncio.sleep(0)
        assert played.workshop.loads == [pin("1.0.0")]
        played.now = 1.0  # however often it was looked at, it has died once
        await played.until(lambda: len(played.workshop.loads) == 2)
        await played.until(lambda: played.manager.snapshot().assigned())
        assert played.manager.place("s").generation is not dead


async def test_where_streams_go_if_their_generation_fails_them() -> None:
    """From a trial to the primary, from the primary to the one before; never to a shadow."""
    async with pod(wanted(1, "1.0.0")) as played:
        one = played.loaded("1.0.0")
        played.source.want(wanted(2, "1.0.0", "", "3.0.0"))
        await played.until(lambda: played.manager.snapshot().serving_sequence == 2)
        assert played.manager.fallback(one) is None
        played.source.want(wanted(3, "2.0.0", "3.0.0"))
        await played.until(lambda: played.manager.snapshot().serving_sequence == 3)
        two, three = played.loaded("2.0.0"), played.loaded("3.0.0")
        assert played.manager.fallback(three) is two
        assert played.manager.fallback(two) is one
        assert played.manager.fallback(one) is two
        assert played.manager.how(one, two) is How.CARRIED


async def test_a_stream_that_comes_too_late_for_its_version_is_told_to_try_again() -> None:
    """Between its place and its begin the version may have been dropped."""
    async with pod(wanted(1, "1.0.0")) as played:
        place = played.manager.place("s")
        played.source.want(wanted(2, "2.0.0"))
        await played.until(lambda: played.manager.snapshot().serving_sequence == 2)
        played.now = 10.0
        await played.until(lambda: "1.0.0" not in played.states())
        with pytest.raises(Unavailable, match="replaced"), played.manager.pinned(place, ANY):
            pass


async def test_rules_that_change_alone_load_nothing() -> None:
    """The policy's limit of a hang counts from then on."""
    async with pod(wanted(1, "1.0.0")) as played:
        assert played.manager.hang_seconds() == 5.0
        rules = RevertRules(hang_after_seconds=2.0)
        played.source.want(Wanted(1, wanted(1, "1.0.0").rollout, rules))
        await played.until(lambda: played.manager.hang_seconds() == 2.0)
        assert played.workshop.loads == [pin("1.0.0")]
        assert played.manager.snapshot().serving_sequence == 1


async def test_a_pod_that_stops_gives_up_what_it_loads() -> None:
    """And loads nothing more; what serves goes on."""
    async with pod(wanted(1, "1.0.0")) as played:
        played.workshop.closed[pin("2.0.0")] = asyncio.Event()
        played.source.want(wanted(2, "2.0.0"))
        await played.until(lambda: played.states().get("2.0.0") == "loading")
        await played.manager.stop_loading()
        assert played.workshop.cancelled == [pin("2.0.0")]
        played.manager._look()
        played.source.want(wanted(3, "3.0.0"))
        await played.until(lambda: played.manager.snapshot().desired_sequence == 3)
        assert played.workshop.loads == [pin("1.0.0"), pin("2.0.0")]
        assert played.stream().generation.pin == pin("1.0.0")
    assert played.source.closed


async def test_how_versions_fare_is_told_by_their_roles() -> None:
    """One entry for each that is loaded."""
    async with pod(wanted(1, "1.0.0", "2.0.0")) as played:
        await played.until(lambda: played.manager.snapshot().serving_sequence == 1)
        spoil(played.loaded("1.0.0"))
        told = {(one.version, one.role, one.hops) for one in played.manager.outcomes()}
        assert told == {
            ("models/adder/versions/1.0.0", Role.PRIMARY, 50),
            ("models/adder/versions/2.0.0", Role.CANARY, 0),
        }


async def test_how_a_version_fared_is_told_after_it_was_left() -> None:
    """That is when somebody asks; until it is loaded again, and begins anew."""
    async with pod(wanted(1, "1.0.0", "2.0.0")) as played:
        await played.until(lambda: played.manager.snapshot().serving_sequence == 1)
        left = played.loaded("2.0.0")
        spoil(left)
        await played.until(lambda: played.manager._roster.get(left.number) is None)
        fared = {one.version: one for one in played.manager.outcomes()}
        of_left = fared[pin("2.0.0").version]
        assert (of_left.role, of_left.hops) == (Role.CANARY, 50)
        assert len(fared) == len(played.manager.outcomes()) == 2
        played.source.want(wanted(2, "1.0.0", "2.0.0"))
        await played.until(lambda: played.manager.snapshot().serving_sequence == 2)
        again = [one for one in played.manager.outcomes() if one.version == pin("2.0.0").version]
        assert [one.hops for one in again] == [0]
