"""A pod leaves what goes wrong while it serves, within a stated number of hops; no stream is lost.

Each fault sets in after fifty hops that came out well: no gate and no warm-up can have seen it.
Hops are what the version had computed in this pod when it was left. What a real clock needs to find
a slow one is measured by `benchmarks/canary.py`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration

from tests.fakes.faulty import Fault, Faulty, spent
from tests.fakes.models import Spoken, tones, write_stream_package
from tests.fakes.rollouts import Pod, pin, serving, sessions
from tests.fakes.service import FINISH, audio, config, diarize, pcm16
from voiceflow.artifact import LatencyMode
from voiceflow.catalog.channels import Canary, RevertRules, Role, Rollout, Shadow
from voiceflow.catalog.pods import Cause
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline import offline
from voiceflow.pipeline.model import BoundModel
from voiceflow_inference.serving.judge import DEFAULT_RULES
from voiceflow_inference.serving.state import Wanted

GOOD_HOPS = 50
STREAMS = 4
HOPS_TO_LEAVE = 20
"""After the first NaN, error or hang: what was in batches of other streams by then."""
BATCHES_TO_FIND_SLOWNESS = 24 * 8
"""24 calls beside the primary's, one after every eighth batch, of a steadily slower model."""
HOPS_SEEN_LATE = 1000
"""The manager looks as often as ever, and streams here come faster than anybody speaks."""
RULES = DEFAULT_RULES.model_copy(update={"hang_after_seconds": 0.5})
TALK = tones(Spoken((2,), 3), Spoken((9,), 3), Spoken((), 1), Spoken((2, 9), 1), Spoken((2,), 2))
HOP = 1280


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BoundModel:
    """The model that hears tones."""
    return bind(load_package(write_stream_package(tmp_path_factory.mktemp("model"))))


@pytest.fixture(scope="module")
def golden(model: BoundModel) -> list[tuple[str, int, int]]:
    """What every stream must come to, whoever computed it."""
    results = offline.diarize(model, _heard(), mode=LatencyMode.AGENT)
    return [
        (turn.speaker, turn.start_samples, turn.end_samples)
        for result in results
        for turn in result.turns_final
    ]


def _heard() -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """The talk as PCM16 brings it."""
    return (np.frombuffer(pcm16(TALK), "<i2") / np.float32(32768)).astype(np.float32)


async def talk(pod: Pod, session: str, times: int = 1) -> list[pb.DiarizeResponse]:
    """One whole stream in agent mode, as fast as it goes."""
    data = pcm16(np.tile(TALK, times))
    mode = pb.LATENCY_MODE_AGENT
    messages = [audio(data[start : start + 6400]) for start in range(0, len(data), 6400)]
    return await diarize(
        pod.address, [config(session=session, latency_mode=mode), *messages, FINISH]
    )


async def one_by_one(pod: Pod, names: Iterable[str]) -> list[list[pb.DiarizeResponse]]:
    """Whole streams, each after the end of the one before."""
    return [await talk(pod, name) for name in names]


def turns(replies: list[pb.DiarizeResponse]) -> list[tuple[str, int, int]]:
    """The final turns of a stream."""
    return [
        (turn.speaker, _samples(turn.start), _samples(turn.end))
        for reply in replies
        for turn in reply.update.turns
        if turn.final
    ]


def _samples(offset: Duration) -> int:
    return round(offset.ToNanoseconds() * 16_000 / 10**9)


def check_whole(replies: list[pb.DiarizeResponse], golden: list[tuple[str, int, int]]) -> None:
    """The stream ended well, was never told to go, and misses nothing."""
    assert replies[-1].summary.complete
    assert not any(reply.HasField("go_away") for reply in replies)
    assert turns(replies) == golden


def moves(replies: list[pb.DiarizeResponse]) -> int:
    """How often a stream was moved."""
    return sum(reply.HasField("moved") for reply in replies)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [(Fault.NAN, Cause.NON_FINITE), (Fault.HANG, Cause.HANG), (Fault.ERRORS, Cause.ERRORS)],
)
async def test_a_canary_that_goes_wrong_is_left(
    model: BoundModel, golden: list[tuple[str, int, int]], fault: Fault, cause: Cause
) -> None:
    """Its streams go on with the primary as if nothing had happened; new ones begin there."""
    primary = Faulty(model)
    canary = Faulty(model, fault, after_hops=GOOD_HOPS, version="1.1.0")
    rollout = Rollout(primary=pin(primary), canary=Canary(pin=pin(canary), percentage=50.0))
    names = sessions(rollout, Role.CANARY)
    others = list(itertools.islice(sessions(rollout, Role.PRIMARY), STREAMS))
    async with serving([primary, canary], rollout, RULES) as pod:
        # Errors are compared: what the primary does must be known by then.
        for replies in await asyncio.gather(*(talk(pod, name) for name in others)):
            check_whole(replies, golden)
        canary.arm()
        while not pod.reverts():
            group = list(itertools.islice(names, STREAMS))
            everybody = await asyncio.gather(*(talk(pod, name) for name in [*group, *others]))
            for replies in everybody:
                check_whole(replies, golden)
            for replies in everybody[STREAMS:]:
                assert moves(replies) == 0
        (revert,) = pod.reverts()
        assert (revert.cause, revert.role) == (cause, Role.CANARY)
        assert revert.from_version == pin(canary)
        assert revert.to_version == pin(primary)
        assert GOOD_HOPS / 2 <= revert.hops <= GOOD_HOPS + HOPS_TO_LEAVE * STREAMS
        assert pod.roles() == {Role.PRIMARY: pin(primary).version}
        begun = await talk(pod, next(iter(names)))
        check_whole(begun, golden)
        assert begun[0].begin.model_version == primary.manifest.resource_name
        assert moves(begun) == 0


async def test_a_canary_that_is_thirty_percent_slower_is_left(
    model: BoundModel, golden: list[tuple[str, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by calls of both models side by side; here by a clock that nothing else moves."""
    monkeypatch.setattr("voiceflow_inference.app.clock_of_calls", lambda *_: spent)
    primary = Faulty(model)
    canary = Faulty(model, Fault.SLOW, version="1.1.0")
    rollout = Rollout(primary=pin(primary), canary=Canary(pin=pin(canary), percentage=50.0))
    names = sessions(rollout, Role.CANARY)
    async with serving([primary, canary], rollout, RULES) as pod:
        canary.arm()
        while not pod.reverts():
            for replies in await asyncio.gather(
                *(talk(pod, name) for name in itertools.islice(names, STREAMS))
            ):
                check_whole(replies, golden)
        (revert,) = pod.reverts()
        assert (revert.cause, revert.role) == (Cause.LATENCY, Role.CANARY)
        assert revert.seen.startswith("30 % slower")
        # A batch has at most one hop of each stream; what the manager has not looked at yet counts.
        assert revert.hops <= STREAMS * (BATCHES_TO_FIND_SLOWNESS + HOPS_SEEN_LATE)
        assert pod.roles() == {Role.PRIMARY: pin(primary).version}


@pytest.mark.parametrize(("fault", "cause"), [(Fault.NAN, "NON_FINITE"), (Fault.HANG, "HANG")])
async def test_a_primary_that_goes_wrong_is_left_for_what_was_there_before(
    model: BoundModel, golden: list[tuple[str, int, int]], fault: Fault, cause: str
) -> None:
    """That is loaded still; its streams go back to it, and the promotion is not served here."""
    old = Faulty(model)
    new = Faulty(model, fault, after_hops=GOOD_HOPS, version="1.1.0")
    async with serving([old, new], Rollout(primary=pin(old)), RULES) as pod:
        pod.source.want(Wanted(2, Rollout(primary=pin(new)), RULES))
        await pod.serves(Role.PRIMARY, pin(new))
        new.arm()
        names = [f"stream-{number}" for number in range(STREAMS)]
        for replies in await asyncio.gather(*(talk(pod, name) for name in names)):
            check_whole(replies, golden)
            assert moves(replies) == 1
        await pod.serves(Role.PRIMARY, pin(old))
        snapshot = pod.app.manager.snapshot()
        (revert,) = pod.reverts()
        assert (revert.cause.name, revert.role, revert.sequence) == (cause, Role.PRIMARY, 2)
        assert revert.to_version == pin(old)
        assert GOOD_HOPS / 2 <= revert.hops <= GOOD_HOPS + HOPS_TO_LEAVE * STREAMS
        assert (snapshot.desired_sequence, snapshot.serving_sequence) == (2, 1)


async def test_a_shadow_that_goes_wrong_is_left_and_nobody_notices(
    model: BoundModel, golden: list[tuple[str, int, int]]
) -> None:
    """It answers nobody; it is reported like any other version."""
    primary = Faulty(model)
    shadow = Faulty(model, Fault.NAN, after_hops=GOOD_HOPS, version="1.1.0")
    rollout = Rollout(primary=pin(primary), shadow=Shadow(pin=pin(shadow)))
    async with serving([primary, shadow], rollout, RULES) as pod:
        shadow.arm()
        while not pod.reverts():
            group = [talk(pod, f"stream-{number}") for number in range(STREAMS)]
            for replies in await asyncio.gather(*group):
                check_whole(replies, golden)
                assert moves(replies) == 0
        (revert,) = pod.reverts()
        assert (revert.cause, revert.role) == (Cause.NON_FINITE, Role.SHADOW)
        assert pod.roles() == {Role.PRIMARY: pin(primary).version}


async def test_a_rule_that_a_policy_does_not_set_leaves_nothing(
    model: BoundModel, golden: list[tuple[str, int, int]]
) -> None:
    """NaN that a policy allows moves the streams that meet it, and no others."""
    primary = Faulty(model)
    canary = Faulty(model, Fault.NAN, version="1.1.0")
    rollout = Rollout(primary=pin(primary), canary=Canary(pin=pin(canary), percentage=50.0))
    names = itertools.islice(sessions(rollout, Role.CANARY), 2)
    async with serving([primary, canary], rollout, RevertRules()) as pod:
        canary.arm()
        for name in names:
            replies = await talk(pod, name)
            check_whole(replies, golden)
            assert moves(replies) == 1
        assert not pod.reverts()
        assert Role.CANARY in pod.roles()


@pytest.mark.slow
async def test_a_good_canary_stays_in_twenty_runs(
    model: BoundModel, golden: list[tuple[str, int, int]]
) -> None:
    """Another version each time, half of the streams, and enough calls side by side to judge it."""
    primary = Faulty(model)
    canaries = [Faulty(model, version=f"1.1.{run}") for run in range(20)]
    rollouts = [
        Rollout(primary=pin(primary), canary=Canary(pin=pin(canary), percentage=50.0))
        for canary in canaries
    ]
    models = [primary, *canaries]
    async with serving(models, rollouts[0], RULES, patience_seconds=600) as pod:
        for sequence, (canary, rollout) in enumerate(zip(canaries, rollouts, strict=True), 2):
            pod.source.want(Wanted(sequence, rollout, RULES))
            await pod.serves(Role.CANARY, pin(canary))
            canary.arm()
            # Alone in its batches, a stream makes as many of them as it has hops.
            heard, beside = await asyncio.gather(
                one_by_one(pod, itertools.islice(sessions(rollout, Role.CANARY), 2)),
                talk(pod, next(sessions(rollout, Role.PRIMARY))),
            )
            for replies in [*heard, beside]:
                check_whole(replies, golden)
                assert moves(replies) == 0
            assert canary.hops > 250
        assert not pod.reverts()
        assert pod.roles()[Role.CANARY] == pin(canaries[-1]).version
