"""Streams through a change of models: nothing lost, nothing twice, and equal to the byte."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration

from tests.fakes import bad_models, planted
from tests.fakes.models import Spoken, tones, write_stream_package
from tests.fakes.rollouts import Pod, pin, serving
from tests.fakes.service import FINISH, audio, config, failure, pcm16, plain
from voiceflow.artifact import LatencyMode
from voiceflow.catalog.channels import RevertRules, Role, Rollout
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc
from voiceflow.errors import InvalidInput, Unavailable
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel, FloatArray
from voiceflow.pipeline.offline import Switch, SwitchKind, diarize_switching
from voiceflow.pipeline.turns import HopResult
from voiceflow.rpc.status import from_rpc_error
from voiceflow_inference import messages
from voiceflow_inference.serving.state import Wanted
from voiceflow_inference.session import Reply

Load = Callable[..., BoundModel]

HOPS = {LatencyMode.DENSITY: 7680, LatencyMode.AGENT: 1280}
MODES = {LatencyMode.DENSITY: pb.LATENCY_MODE_DENSITY, LatencyMode.AGENT: pb.LATENCY_MODE_AGENT}
RULES = RevertRules()
AT_ONCE = {"drain_deadline_seconds": 0.01}

DATA = pcm16(
    tones(
        Spoken((2,), 4.0),
        Spoken((), 0.7),
        Spoken((8,), 3.3),
        Spoken((2, 8), 2.0),
        Spoken((2,), 3.21),
        Spoken((8,), 4.5),
    )
)
HEARD: FloatArray = np.frombuffer(DATA, "<i2").astype(np.float32) / np.float32(32768)


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Writes a package of the tiny streaming model, changed, and loads it."""

    def _load(version: str, *, graph: bytes = b"", **changes: object) -> BoundModel:
        folder: Path = tmp_path_factory.mktemp(version)
        write_stream_package(folder, version, graph=graph, **changes)
        return bind(load_package(folder))

    return _load


@pytest.fixture(scope="module")
def first(load: Load) -> BoundModel:
    """On which streams begin."""
    return load("1.0.0")


@pytest.fixture(scope="module")
def same_state(load: Load) -> BoundModel:
    """Another file of the same function: streams are carried."""
    return load("1.0.1", licence="MIT")


@pytest.fixture(scope="module")
def other_state(load: Load) -> BoundModel:
    """With a memory and thresholds of its own: streams are replayed."""
    point = load("1.0.0").manifest.operating_point
    return load(
        "1.1.0",
        graph=bad_models.other_state(),
        state_space="tones-2",
        operating_point=point.model_copy(update={"speech_threshold": 0.95}),
    )


@pytest.fixture(scope="module")
def other_vectors(load: Load) -> BoundModel:
    """With vectors that mean other things: streams are told."""
    return load(
        "2.0.0",
        graph=bad_models.other_vectors(),
        state_space="tones-3",
        embedding_space="tones-3",
    )


@asynccontextmanager
async def swapping(*models: BoundModel, **settings: Any) -> AsyncIterator[Pod]:
    """A pod that serves the first of these models."""
    async with serving(models, Rollout(primary=pin(models[0])), RULES, **settings) as pod:
        yield pod


async def swap(pod: Pod, to: BoundModel, sequence: int = 2) -> None:
    """Promotes a model, and waits until it serves."""
    pod.source.want(Wanted(sequence, Rollout(primary=pin(to)), RULES))
    await pod.serves(Role.PRIMARY, pin(to))


async def replace(pod: Pod, to: BoundModel, sequence: int = 2) -> None:
    """Promotes a model, and waits until all streams are asked to leave the one before."""
    await swap(pod, to, sequence)
    views = pod.app.manager.snapshot
    await pod.until(lambda: all(v.assigned or v.leaving == v.streams for v in views().generations))


class Client:
    """One stream, hop by hop.

    Attributes:
        call: The stream.
        replies: All so far.
    """

    def __init__(self, stub: pb_grpc.DiarizationStub, mode: LatencyMode, **fields: object) -> None:
        self.call = stub.Diarize()
        self.replies: list[pb.DiarizeResponse] = []
        self._hop_bytes = 2 * HOPS[mode]
        self._config = config(session="a", latency_mode=MODES[mode], **fields)
        self._at = 0

    async def begin(self) -> pb.Begin:
        """Opens it."""
        await self.call.write(self._config)
        return (await self.next()).begin

    async def next(self) -> pb.DiarizeResponse:
        """The next reply."""
        reply = await self.call.read()
        assert isinstance(reply, pb.DiarizeResponse), "the stream has ended"
        self.replies.append(reply)
        return reply

    async def hop(self, data: bytes = DATA) -> bool:
        """Sends the next one and waits for its Update; False: there is none any more."""
        piece = data[self._at : self._at + self._hop_bytes]
        self._at += len(piece)
        if len(piece) < self._hop_bytes:
            await self.call.write(audio(piece))
            return False
        await self.call.write(audio(piece))
        while (await self.next()).WhichOneof("response") != "update":
            pass
        return True

    async def rest(self, data: bytes = DATA) -> None:
        """Sends all that is left, and finishes."""
        while await self.hop(data):
            pass
        await self.call.write(FINISH)
        await self.call.done_writing()
        while isinstance(reply := await self.call.read(), pb.DiarizeResponse):
            self.replies.append(reply)

    def moved(self) -> list[pb.Moved]:
        """Where it went."""
        return [reply.moved for reply in self.replies if reply.HasField("moved")]

    def go_aways(self) -> list[pb.GoAway]:
        """What it was told."""
        return [reply.go_away for reply in self.replies if reply.HasField("go_away")]

    def tokens(self) -> list[tuple[int, bytes]]:
        """Every token, with the audio covered by then in samples."""
        return [
            (samples(reply.update.audio_covered), reply.update.resume_token)
            for reply in self.replies
            if reply.update.resume_token
        ]


@asynccontextmanager
async def client(
    pod: Pod, mode: LatencyMode = LatencyMode.DENSITY, **fields: object
) -> AsyncIterator[Client]:
    """A stream on a connection of its own, that has not begun."""
    async with grpc.aio.insecure_channel(pod.address) as channel:
        yield Client(pb_grpc.DiarizationStub(channel), mode, **fields)


def samples(duration: Duration) -> int:
    """Audio time in 16 kHz samples."""
    return int(duration.ToNanoseconds()) * 16 // 1_000_000


def said(replies: Sequence[pb.DiarizeResponse]) -> list[bytes]:
    """Updates and events, to the byte, without tokens."""
    kinds = {"update", "speech_event", "speaker_merged"}
    return plain(reply for reply in replies if reply.WhichOneof("response") in kinds)


def written(
    results: Sequence[HopResult], moves: Sequence[pb.Moved] = (), first: int = 1
) -> list[bytes]:
    """What a stream would say that began on that generation and moved like that."""
    told: list[pb.DiarizeResponse] = []
    covered = 0
    for result in results:
        passed = [first, *(move.generation for move in moves if samples(move.at) <= covered)]
        told += messages.replies(Reply(result, passed[-1]))
        covered = max(covered, result.covered_samples)
    return plain(told)


HOW = {pb.Moved.HOW_CARRIED: SwitchKind.CARRIED, pb.Moved.HOW_REPLAYED: SwitchKind.REPLAYED}


def as_told(moves: Sequence[pb.Moved], models: Sequence[BoundModel]) -> list[Switch]:
    """The switches that a stream told."""
    return [
        Switch(samples(m.at), model, HOW[m.how], samples(m.replayed_from))
        for m, model in zip(moves, models, strict=True)
    ]


async def through(
    pod: Pod, models: Sequence[BoundModel], mode: LatencyMode, **fields: object
) -> Client:
    """A stream that lives through swaps to each of these models."""
    async with client(pod, mode, **fields) as stream:
        await stream.begin()
        for number, model in enumerate(models, start=1):
            for _ in range(HOPS[LatencyMode.DENSITY] // HOPS[mode] * 5):
                await stream.hop()
            await replace(pod, model, number + 1)
            while len(stream.moved()) < number:
                assert await stream.hop()
        await stream.rest()
        return stream


@pytest.mark.parametrize("mode", LatencyMode)
async def test_carried_streams_equal_the_offline_switch_to_the_byte(
    first: BoundModel, same_state: BoundModel, mode: LatencyMode
) -> None:
    """There and back; each Moved comes before the first Update of its generation."""
    async with swapping(first, same_state, **AT_ONCE) as pod:
        stream = await through(pod, [same_state, first], mode)
        moves = as_told(stream.moved(), [same_state, first])
        assert [move.how for move in moves] == [SwitchKind.CARRIED] * 2
        expected = diarize_switching(HEARD, first, moves, mode)
        assert said(stream.replies) == written(expected, stream.moved())
        assert all(samples(m.at) == samples(m.replayed_from) for m in stream.moved())
        assert [reply.moved.generation or reply.update.generation for reply in turning(stream)] == [
            *(1, 2, 2, 1, 1)
        ]
        assert stream.moved()[0].model_version == same_state.manifest.resource_name
        assert stream.replies[-1].summary.complete
        assert stream.replies[-1].summary.model_version == first.manifest.resource_name
        state = await serving_state(pod)
        assert state.moves == {"carried": 2}


@pytest.mark.parametrize("mode", LatencyMode)
async def test_replayed_streams_equal_the_offline_switch_to_the_byte(
    first: BoundModel, other_state: BoundModel, mode: LatencyMode
) -> None:
    """With the context that was heard again, and the hops that the old model still computed."""
    async with swapping(first, other_state, **AT_ONCE) as pod:
        stream = await through(pod, [other_state], mode)
        moves = as_told(stream.moved(), [other_state])
        assert [move.how for move in moves] == [SwitchKind.REPLAYED]
        assert moves[0].replayed_from_samples is not None
        assert 0 < moves[0].replayed_from_samples < moves[0].at_samples
        expected = diarize_switching(HEARD, first, moves, mode)
        assert said(stream.replies) == written(expected, stream.moved())
        state = await serving_state(pod)
        assert state.moves == {"replayed": 1}


def turning(stream: Client) -> list[pb.DiarizeResponse]:
    """The first Update of all, and each Moved with the Update after it; between are only alike."""
    kinds = {"update", "moved"}
    seen = [reply for reply in stream.replies if reply.WhichOneof("response") in kinds]
    turns = [at for at, reply in enumerate(seen) if reply.HasField("moved")]
    for start, end in zip([0, *(at + 1 for at in turns)], [*turns, len(seen)], strict=True):
        assert len({reply.update.generation for reply in seen[start:end]}) == 1
    return [seen[0], *(seen[at + offset] for at in turns for offset in (0, 1))]


async def test_an_unmoved_stream_equals_its_single_version(
    first: BoundModel, same_state: BoundModel
) -> None:
    """A stream that may stay finishes where it began, while new ones begin on the new model."""
    async with swapping(first, same_state) as pod, client(pod) as stream:
        await stream.begin()
        for _ in range(8):
            await stream.hop()
        await swap(pod, same_state)
        async with client(pod) as later:
            begin = await later.begin()
            assert begin.model_version == same_state.manifest.resource_name
            await later.rest()
        await stream.rest()
        assert stream.moved() == []
        assert said(stream.replies) == written(diarize_switching(HEARD, first, []))
        alone = diarize_switching(HEARD, same_state, [])
        assert said(later.replies) == written(alone, first=begin.generation)


async def test_a_told_stream_resumes_where_it_was(
    first: BoundModel, other_vectors: BoundModel
) -> None:
    """GoAway with a token; the partition goes on from its place, as offline."""
    async with swapping(first, other_vectors, **AT_ONCE) as pod, client(pod) as stream:
        begin = await stream.begin()
        assert samples(begin.resume_context) >= 30 * 16_000
        for _ in range(20):
            await stream.hop()
        await replace(pod, other_vectors)
        while not stream.go_aways():
            await stream.next()
        go_away = stream.go_aways()[0]
        assert (go_away.reason, bool(go_away.resume_token)) == ("MODEL_REPLACED", True)
        assert go_away.time_left.ToSeconds() == 1
        last = [reply.update for reply in stream.replies if reply.HasField("update")][-1]
        stream.call.cancel()
        async with client(pod, resume_token=go_away.resume_token) as second:
            begin = await second.begin()
            assert begin.session == "a"
            assert begin.model_version == other_vectors.manifest.resource_name
            assert begin.resumed_at == last.final_until
            start = samples(begin.audio_start)
            assert start <= samples(begin.resumed_at)
            await second.rest(DATA[2 * start :])
        switch = Switch(samples(last.audio_covered), other_vectors, SwitchKind.RESUMED)
        expected = diarize_switching(HEARD, first, [switch])
        regions = [
            region
            for replies in (stream.replies, second.replies)
            for reply in replies
            for region in reply.update.final_regions
        ]
        assert regions == messages.regions(
            region for result in expected for region in result.final_regions
        )
        state = await serving_state(pod)
        assert state.moves == {"told": 1}


async def test_a_told_stream_that_stays_ends_in_its_time(
    first: BoundModel, other_vectors: BoundModel
) -> None:
    """As if its client had half-closed: everything final, and not complete."""
    async with (
        swapping(first, other_vectors, grace_seconds=0.2, **AT_ONCE) as pod,
        client(pod) as stream,
    ):
        await stream.begin()
        for _ in range(10):
            await stream.hop()
        await replace(pod, other_vectors)
        while not (await stream.next()).HasField("summary"):
            pass
        assert len(stream.go_aways()) == 1
        assert not stream.replies[-1].summary.complete
        assert samples(stream.replies[-1].summary.audio_covered) == 10 * 7680


async def test_tokens_come_seldom_and_each_opens(first: BoundModel) -> None:
    """With the first final region, then once in five seconds of audio; none at the end."""
    async with swapping(first) as pod, client(pod) as stream:
        await stream.begin()
        await stream.rest()
        places = [place for place, _ in stream.tokens()]
        regions = [reply.update for reply in stream.replies if reply.update.final_regions]
        assert places[0] == samples(regions[0].audio_covered)
        assert len(places) == 3
        gaps = np.diff(places)
        assert (gaps >= 5 * 16_000).all()
        assert (gaps < 5 * 16_000 + 7680).all()
        for _, token in stream.tokens():
            async with client(pod, resume_token=token) as again:
                assert (await again.begin()).HasField("resumed_at")
                again.call.cancel()


async def test_nothing_that_is_heard_again_is_told_again(first: BoundModel) -> None:
    """Not even the frames: they begin where the final regions ended."""
    async with swapping(first) as pod:
        async with client(pod) as stream:
            await stream.begin()
            await stream.rest()
        _, token = stream.tokens()[-1]
        async with client(pod, resume_token=token, send_activity=True) as again:
            begin = await again.begin()
            await again.rest(DATA[2 * samples(begin.audio_start) :])
            activity = [reply.update.activity for reply in again.replies]
            told = [one for one in activity if one.speech]
            assert told[0].speech_start == begin.resumed_at
            tracks = [one for one in activity if one.tracks]
            assert tracks[0].tracks_start == begin.resumed_at


async def test_a_hop_that_fails_is_computed_by_the_version_before(
    first: BoundModel, load: Load
) -> None:
    """Planted NaN: the client sees Moved and nothing else, equal to the byte."""
    bad = load("1.0.1", graph=planted.spoiling_graph())
    loud = bytearray(DATA)
    loud[2 * 12 * 7680 : 2 * 13 * 7680] = pcm16(np.ones(7680))
    data = bytes(loud)
    heard = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)
    async with swapping(first, bad) as pod:
        await swap(pod, bad)
        async with client(pod) as stream:
            begin = await stream.begin()
            assert begin.model_version == bad.manifest.resource_name
            await stream.rest(data)
        moves = as_told(stream.moved(), [first])
        assert [(move.how, move.at_samples) for move in moves] == [(SwitchKind.CARRIED, 12 * 7680)]
        expected = diarize_switching(heard, bad, moves)
        assert said(stream.replies) == written(expected, stream.moved(), begin.generation)
        assert stream.replies[-1].summary.complete


async def test_without_a_fallback_the_client_is_told_and_has_a_token(load: Load) -> None:
    """GoAway MODEL_FAILED, then the error; the token goes on from what was told."""
    bad = load("1.0.1", graph=planted.spoiling_graph())
    async with swapping(bad) as pod, client(pod) as stream:
        await stream.begin()
        for _ in range(8):
            await stream.hop()
        await stream.call.write(audio(pcm16(np.ones(7680))))
        while not stream.go_aways():
            await stream.next()
        go_away = stream.go_aways()[0]
        assert go_away.reason == "MODEL_FAILED"
        assert go_away.time_left.ToNanoseconds() == 0
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.call.read()
        assert from_rpc_error(caught.value).reason == "MODEL_OUTPUT_NOT_FINITE"
        last = [reply.update for reply in stream.replies if reply.HasField("update")][-1]
        await pod.until(lambda: bool(pod.roles()))
        async with client(pod, resume_token=go_away.resume_token) as second:
            assert (await second.begin()).resumed_at == last.final_until
            second.call.cancel()


async def recorded(
    pod: Pod, channel: grpc.aio.Channel, to: BoundModel, rest: bytes = b""
) -> pb.DiarizeFileResponse:
    """A recording of which ten hops are heard before a change, and perhaps something after it."""
    call = pb_grpc.DiarizationStub(channel).DiarizeFile()
    await call.write(pb.DiarizeFileRequest(config=config().config))
    await call.write(pb.DiarizeFileRequest(audio=DATA[: 2 * 10 * 7680]))
    generation = pod.app.manager.primary
    await pod.until(lambda: generation.tally.counts.hops >= 10)
    await replace(pod, to)
    if rest:
        await call.write(pb.DiarizeFileRequest(audio=rest))
        await call.done_writing()
    return await call


@pytest.mark.parametrize("kind", ["same_state", "other_state"])
async def test_recordings_move_as_streams_do(
    first: BoundModel, kind: str, request: pytest.FixtureRequest
) -> None:
    """The result equals the offline switch where the recording was."""
    new: BoundModel = request.getfixturevalue(kind)
    async with (
        swapping(first, new, **AT_ONCE) as pod,
        grpc.aio.insecure_channel(pod.address) as channel,
    ):
        response = await recorded(pod, channel, new, DATA[2 * 10 * 7680 :])
        how = SwitchKind.CARRIED if kind == "same_state" else SwitchKind.REPLAYED
        expected = diarize_switching(HEARD, first, [Switch(10 * 7680, new, how)])
        turns = [turn for result in expected for turn in result.turns_final]
        assert sorted(t.SerializeToString() for t in response.turns) == sorted(
            t.SerializeToString() for t in messages.turns(turns)
        )
        assert response.summary.complete
        assert response.summary.model_version == new.manifest.resource_name


async def test_a_recording_that_cannot_move_is_to_be_sent_again(
    first: BoundModel, other_vectors: BoundModel
) -> None:
    """UNAVAILABLE MODEL_REPLACED: it has no token to go on with."""
    async with (
        swapping(first, other_vectors, **AT_ONCE) as pod,
        grpc.aio.insecure_channel(pod.address) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await recorded(pod, channel, other_vectors)
        error = from_rpc_error(caught.value)
        assert isinstance(error, Unavailable)
        assert error.reason == "MODEL_REPLACED"


async def test_a_score_counts_for_the_version_that_heard_it_all(
    first: BoundModel, same_state: BoundModel
) -> None:
    """Of a stream that moved it says nothing of either; one that is no number is refused."""
    score = pb.DiarizeRequest(finish=pb.Finish(score=0.25))
    async with swapping(first, same_state, **AT_ONCE) as pod:
        generation = pod.app.manager.primary
        async with client(pod) as stream:
            await stream.begin()
            await stream.call.write(score)
            while not (await stream.next()).HasField("summary"):
                pass
        assert (generation.tally.counts.score_count, generation.tally.counts.score_sum) == (1, 0.25)
        async with client(pod) as stream:
            await stream.begin()
            await stream.hop()
            await replace(pod, same_state)
            while not stream.moved():
                await stream.hop()
            await stream.call.write(score)
            while not (await stream.next()).HasField("summary"):
                pass
        assert generation.tally.counts.score_count == 1
        assert pod.app.manager.primary.tally.counts.score_count == 0
        odd = pb.DiarizeRequest(finish=pb.Finish(score=float("nan")))
        error = await failure(pod.address, [config(), odd])
        assert isinstance(error, InvalidInput)
        assert (error.reason, error.field) == ("SCORE_INVALID", "finish.score")


async def test_a_client_that_names_a_version_gets_it(
    first: BoundModel, same_state: BoundModel
) -> None:
    """While it is active for anybody; no other is given in its place."""
    rollout = Rollout.model_validate(
        {"primary": pin(first), "canary": {"pin": pin(same_state), "percentage": 50.0}}
    )
    async with serving((first, same_state), rollout, RULES) as pod:
        for model in (first, same_state):
            name = model.manifest.resource_name
            for session in ("a", "b", "c", "d"):
                async with client(pod, model=pb.ModelSelector(version=name)) as stream:
                    stream._config.config.session = session
                    assert (await stream.begin()).model_version == name
                    stream.call.cancel()
        other = pb.ModelSelector(version="models/tones/versions/9.0.0")
        assert (await failure(pod.address, [config(model=other)])).reason == "MODEL_NOT_SERVED"


async def serving_state(pod: Pod) -> pb.GetServingStateResponse:
    """What the pod says of itself."""
    async with grpc.aio.insecure_channel(pod.address) as channel:
        return await pb_grpc.DiarizationStub(channel).GetServingState(pb.GetServingStateRequest())


async def test_the_serving_state_tells_of_every_generation(
    first: BoundModel, same_state: BoundModel
) -> None:
    """Which is what, and which promotion is served."""
    async with swapping(first, same_state) as pod:
        await swap(pod, same_state, 7)
        state = await serving_state(pod)
        states = [(each.generation, each.model_version, each.role) for each in state.generations]
        assert (2, same_state.manifest.resource_name, pb.GenerationState.ROLE_PRIMARY) in states
        assert (state.desired_sequence, state.serving_sequence) == (7, 7)
        assert state.pod == ""
        assert all(each.manifest_digest == "" for each in state.generations)
        assert all(each.model_digest for each in state.generations)
