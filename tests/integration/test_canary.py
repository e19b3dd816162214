"""Streams meet the version that they are drawn for; a shadow hears them and answers nobody."""

from __future__ import annotations

import itertools

import grpc
import pytest

from tests.fakes.faulty import Faulty
from tests.fakes.models import Spoken, tones, write_stream_package
from tests.fakes.rollouts import Pod, pin, serving, sessions
from tests.fakes.service import FINISH, config, diarize, pcm16, pieces
from voiceflow.catalog.channels import Canary, Role, Rollout, Shadow
from voiceflow.catalog.pods import VersionOutcomes
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel
from voiceflow_inference.serving.assignment import is_shadowed
from voiceflow_inference.serving.judge import DEFAULT_RULES

TALK = pcm16(tones(Spoken((2,), 4), Spoken((9,), 3), Spoken((), 1), Spoken((2,), 3)))
ALL_THE_TIME = 1e6
"""Seconds that a shadow may be behind: streams here come faster than anybody speaks."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BoundModel:
    """The model that hears tones."""
    return bind(load_package(write_stream_package(tmp_path_factory.mktemp("model"))))


@pytest.fixture(scope="module")
def deaf(tmp_path_factory: pytest.TempPathFactory) -> BoundModel:
    """The same with a threshold that nobody reaches."""
    folder = tmp_path_factory.mktemp("deaf")
    point = load_package(write_stream_package(folder)).manifest.operating_point
    deaf = point.model_copy(update={"activity_threshold": 1.0})
    return bind(load_package(write_stream_package(folder, operating_point=deaf.model_dump())))


async def talk(pod: Pod, session: str, **finish: float) -> list[pb.DiarizeResponse]:
    """One whole stream, as fast as it goes."""
    last = pb.DiarizeRequest(finish=pb.Finish(**finish)) if finish else FINISH
    return await diarize(pod.address, [config(session=session), *pieces(TALK, 15_360), last])


def outcomes(pod: Pod, role: Role) -> VersionOutcomes:
    """How the version with that role fares."""
    return next(one for one in pod.app.manager.outcomes() if one.role is role)


async def test_streams_meet_the_version_that_they_are_drawn_for(model: BoundModel) -> None:
    """And meet it again when they come back; each version's outcomes are its own streams'."""
    primary, canary = Faulty(model), Faulty(model, version="1.1.0")
    rollout = Rollout(primary=pin(primary), canary=Canary(pin=pin(canary), percentage=30.0))
    async with serving([primary, canary], rollout, DEFAULT_RULES) as pod:
        for role, version in ((Role.CANARY, canary), (Role.PRIMARY, primary)):
            names = list(itertools.islice(sessions(rollout, role), 3))
            for name in [*names, *names]:
                replies = await talk(pod, name, score=2.0)
                assert replies[0].begin.model_version == version.manifest.resource_name
                assert replies[-1].summary.complete
            told = outcomes(pod, role)
            assert (told.version, told.streams) == (version.manifest.resource_name, 6)
            assert (told.score_count, told.score_sum) == (6, 12.0)
            assert told.failed_streams == told.failed_hops == 0
            assert (told.speakers, told.turns) == (12, 18)
            assert told.hops >= sum(told.compute_latency_seconds.counts) > 0
            assert told.speech_seconds == pytest.approx(6 * 10, abs=2)


async def heard_beside(pod: Pod, session: str, frames: int) -> list[pb.DiarizeResponse]:
    """One stream that ends when its shadow has been compared for so many frames."""
    async with grpc.aio.insecure_channel(pod.address) as channel:
        call = pb_grpc.DiarizationStub(channel).Diarize()
        for request in [config(session=session), *pieces(TALK, 15_360)]:
            await call.write(request)
        await pod.until(lambda: outcomes(pod, Role.SHADOW).compared_frames >= frames)
        await call.write(FINISH)
        await call.done_writing()
        return [reply async for reply in call]


@pytest.mark.parametrize("hears", [True, False])
async def test_a_shadow_hears_the_primarys_streams_and_answers_nobody(
    model: BoundModel, deaf: BoundModel, hears: bool
) -> None:
    """A client gets to the byte what it gets without one; how far it differs counts for it."""
    primary, shadow = Faulty(model), Faulty(model if hears else deaf, version="1.1.0")
    async with serving([primary], Rollout(primary=pin(primary)), DEFAULT_RULES) as pod:
        alone = [reply.update for reply in await talk(pod, "one")]
    rollout = Rollout(primary=pin(primary), shadow=Shadow(pin=pin(shadow)))
    async with serving(
        [primary, shadow], rollout, DEFAULT_RULES, shadow_lag_seconds=ALL_THE_TIME
    ) as pod:
        replies = await heard_beside(pod, "one", 200)
        assert [_without_tokens(reply.update) for reply in replies] == [
            _without_tokens(update) for update in alone
        ]
        told = outcomes(pod, Role.SHADOW)
        assert (told.streams, told.failed_streams) == (1, 0)
        assert told.speakers == (2 if hears else 0)
        if hears:
            assert told.differing_frames == 0
        else:
            assert told.differing_frames > 0.8 * told.compared_frames
        assert outcomes(pod, Role.PRIMARY).compared_frames == 0
        assert outcomes(pod, Role.PRIMARY).streams == 1


def _without_tokens(update: pb.Update) -> pb.Update:
    """Tokens are sealed anew each time."""
    copy = pb.Update()
    copy.CopyFrom(update)
    copy.ClearField("resume_token")
    return copy


async def test_a_shadow_hears_no_other_streams_than_are_drawn_for_it(model: BoundModel) -> None:
    """Its share of the primary's; none of the canary's, with which it is not compared."""
    models = [Faulty(model, version=f"1.{number}.0") for number in range(3)]
    primary, canary, shadow = models
    rollout = Rollout(
        primary=pin(primary),
        canary=Canary(pin=pin(canary), percentage=50.0),
        shadow=Shadow(pin=pin(shadow), percentage=50.0),
    )
    names = list(itertools.islice(sessions(rollout, Role.PRIMARY), 20))
    async with serving(models, rollout, DEFAULT_RULES) as pod:
        await talk(pod, next(sessions(rollout, Role.CANARY)))
        await talk(pod, next(name for name in names if not is_shadowed(name, rollout)))
        assert outcomes(pod, Role.SHADOW).streams == 0
        await talk(pod, next(name for name in names if is_shadowed(name, rollout)))
        assert outcomes(pod, Role.SHADOW).streams == 1
