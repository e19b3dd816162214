"""Who is enrolled has a name through the whole service, as long as the stream, and no longer."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
import semver

from tests.fakes.faulty import Faulty
from tests.fakes.models import Spoken, tones, write_stream_package
from tests.fakes.rollouts import pin, serving, sessions
from tests.fakes.service import FINISH, config, diarize, failure, pcm16, pieces, plain
from tests.integration.test_canary import ALL_THE_TIME, outcomes
from tests.integration.test_client_resume_service import CONFIG, LENGTH, SECOND, read
from tests.integration.test_diarize import MODES
from voiceflow.artifact import LatencyMode, Manifest
from voiceflow.catalog.channels import Canary, Role, Rollout, Shadow
from voiceflow.client import EnrolledSpeaker, Event, Prototype, Resumed, Summary, Timeline
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc
from voiceflow.errors import InvalidInput
from voiceflow.identity.key_set import SealingKey, key_set_json
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel, FloatArray, Frames, State
from voiceflow.pipeline.turns import UNKNOWN
from voiceflow_inference.serving.judge import DEFAULT_RULES

BANDS = 16
DATA = pcm16(
    tones(
        *(Spoken((8,), 0.6), Spoken((), 0.6), Spoken((2,), 3.0), Spoken((), 0.5)),
        *(Spoken((5,), 3.0), Spoken((2, 8), 2.0), Spoken((8,), 3.21)),
    )
)


def sent(name: str, *bands: int, space: str) -> pb.EnrolledSpeaker:
    """Somebody whose voice is a band, as the models that hear tones have it."""
    speaker = pb.EnrolledSpeaker(name=name)
    for band in bands:
        one = speaker.prototypes.add(embedding_space=space, values=np.eye(BANDS)[band].tolist())
        one.speech.FromSeconds(4)
    return speaker


@pytest.fixture
def people(model: BoundModel) -> list[pb.EnrolledSpeaker]:
    """Ann, Bob, and Eve, who never speaks."""
    space = model.manifest.embedding_space
    people = {"Eve": (11,), "Bob": (2, 12), "Ann Lee": (8,)}
    return [sent(name, *bands, space=space) for name, bands in people.items()]


def turns_of(replies: Sequence[pb.DiarizeResponse]) -> list[str]:
    """Speakers of the final turns, in order of their start."""
    final = [t for reply in replies for t in reply.update.turns if t.final]
    return [turn.speaker for turn in sorted(final, key=lambda turn: turn.start.ToNanoseconds())]


@pytest.mark.parametrize("mode", LatencyMode)
async def test_turns_carry_names_from_the_first_one_on(
    address: str, people: list[pb.EnrolledSpeaker], mode: LatencyMode
) -> None:
    """Ann's is too short for anybody else to be known by; a stranger is S1."""
    asked = config(latency_mode=MODES[mode], enrolled_speakers=people)
    replies = await diarize(address, [asked, *pieces(DATA, 5000), FINISH])
    assert {*turns_of(replies)} == {"Ann Lee", "Bob", "S1"}
    assert turns_of(replies)[:3] == ["Ann Lee", "Bob", "S1"]
    overlap = [
        r.speakers for reply in replies for r in reply.update.final_regions if len(r.speakers) == 2
    ]
    assert ["Ann Lee", "Bob"] in overlap
    summary = replies[-1].summary
    assert [one.speaker for one in summary.speakers] == ["Ann Lee", "Bob", "S1"]
    assert all(one.prototypes for one in summary.speakers)


async def test_a_recording_has_the_names_that_a_stream_has(
    address: str, people: list[pb.EnrolledSpeaker]
) -> None:
    """DiarizeFile gives what Diarize gives."""
    asked = config(enrolled_speakers=people)
    replies = await diarize(address, [asked, *pieces(DATA, 6400), FINISH])
    async with grpc.aio.insecure_channel(address) as channel:
        requests = [
            pb.DiarizeFileRequest(config=asked.config),
            *(pb.DiarizeFileRequest(audio=piece.audio) for piece in pieces(DATA, 7000)),
        ]
        whole = await pb_grpc.DiarizationStub(channel).DiarizeFile(iter(requests))
    assert [turn.speaker for turn in whole.turns] == turns_of(replies)
    assert whole.summary == replies[-1].summary


async def test_what_a_summary_gives_can_be_enrolled(address: str, model: BoundModel) -> None:
    """Prototypes of one stream name its speakers in the next."""
    first = await diarize(address, [config(), *pieces(DATA, 6400), FINISH])
    assert turns_of(first)[0] == UNKNOWN
    again = [
        pb.EnrolledSpeaker(name=f"was {one.speaker}", prototypes=one.prototypes)
        for one in first[-1].summary.speakers
        if one.prototypes
    ]
    second = await diarize(address, [config(enrolled_speakers=again), *pieces(DATA, 640), FINISH])
    assert turns_of(second)[:4] == ["was S3", "was S1", "was S2", "was S1"]
    assert UNKNOWN not in turns_of(second)
    assert again[0].prototypes[0].embedding_space == model.manifest.embedding_space


async def test_the_cut_into_messages_and_other_streams_change_nothing(
    address: str, people: list[pb.EnrolledSpeaker]
) -> None:
    """Enrolment is one stream's: beside it and after it S1 is S1, and replies are equal bytes."""
    named, nameless = config(session="a", enrolled_speakers=people), config(session="a")
    alone = [
        plain(await diarize(address, [asked, *pieces(DATA, 6400), FINISH]))
        for asked in (named, nameless)
    ]
    beside = await asyncio.gather(
        *(
            diarize(address, [asked, *pieces(DATA, 2222), FINISH])
            for asked in (nameless, named, nameless, named)
        )
    )
    assert [plain(one) for one in beside] == [alone[1], alone[0]] * 2
    assert alone[0] != alone[1]


async def test_what_cannot_be_enrolled_is_refused_on_the_wire(
    address: str, model: BoundModel
) -> None:
    """With reason and field; before any audio."""
    space = model.manifest.embedding_space
    ann = sent("Ann", 8, space=space)
    for speakers, reason, field in (
        ([sent("S3", 8, space=space)], "ENROLLED_NAME_INVALID", "[0].name"),
        ([ann, ann], "ENROLLED_NAME_INVALID", "[1].name"),
        ([ann, sent("Bob", 8, space=space)], "ENROLLED_VOICES_ALIKE", "[1].prototypes"),
        ([pb.EnrolledSpeaker(name="Ann")], "PROTOTYPE_COUNT_INVALID", "[0].prototypes"),
        (
            [sent("Ann", 8, space="elsewhere-2")],
            "EMBEDDING_SPACE_MISMATCH",
            "[0].prototypes[0].embedding_space",
        ),
        ([sent(f"P{n}", 8, space=space) for n in range(21)], "ENROLLED_SPEAKERS_TOO_MANY", ""),
    ):
        error = await failure(address, [config(enrolled_speakers=speakers)])
        assert isinstance(error, InvalidInput)
        assert (error.reason, error.field) == (reason, f"config.enrolled_speakers{field}")


async def test_names_and_voices_are_in_no_log(
    address: str, people: list[pb.EnrolledSpeaker], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither of a stream that goes well nor of one that is refused."""
    caplog.set_level(logging.DEBUG)
    await diarize(address, [config(enrolled_speakers=people), *pieces(DATA, 6400), FINISH])
    await failure(address, [config(enrolled_speakers=[*people, people[0]])])
    assert "Ann Lee" not in caplog.text
    assert "Eve" not in caplog.text


@pytest.fixture(scope="module")
def tone_model(tmp_path_factory: pytest.TempPathFactory) -> BoundModel:
    """The one that hears tones."""
    return bind(load_package(write_stream_package(tmp_path_factory.mktemp("tones"))))


@pytest.fixture(scope="module")
def turned_model(tmp_path_factory: pytest.TempPathFactory) -> BoundModel:
    """A newer version, whose vectors mean something else and are as long."""
    folder = tmp_path_factory.mktemp("turned")
    return bind(load_package(write_stream_package(folder, "2.0.0", embedding_space="other-2")))


def known(name: str, band: int, model: BoundModel) -> EnrolledSpeaker:
    """For the client."""
    vector = tuple(np.eye(BANDS)[band].tolist())
    return EnrolledSpeaker(name, (Prototype(model.manifest.embedding_space, vector, 4.0),))


def finals(events: list[Event]) -> tuple[object, ...]:
    """What is told in the end."""
    timeline = Timeline()
    for event in events:
        timeline.add(event)
    return timeline.regions(), timeline.turns(), timeline.talk_samples()


async def test_a_conversation_that_is_cut_goes_on_with_its_names(tone_model: BoundModel) -> None:
    """The token knows them: the same timeline, to the sample."""
    enrolled = (known("Ann", 2, tone_model), known("Bob", 11, tone_model))
    asked = replace(CONFIG, enrolled_speakers=enrolled)
    whole = await read(tone_model, asked, [])
    cut = await read(tone_model, asked, [6.0, 13.0])
    assert sum(isinstance(event, Resumed) for event in cut) == 2
    assert finals(cut) == finals(whole)
    assert isinstance(cut[-1], Summary)
    assert [one.speaker for one in cut[-1].speakers] == ["Ann", "Bob", "S1", "S2"]
    assert cut[-1].covered_samples == LENGTH


async def test_in_another_embedding_space_names_are_found_again(
    tone_model: BoundModel, turned_model: BoundModel, tmp_path: Path
) -> None:
    """By who spoke when; the client need not know that anything has changed."""
    asked = replace(CONFIG, enrolled_speakers=(known("Ann", 2, tone_model),))
    keys = tmp_path / "keys.json"
    keys.write_text(key_set_json([SealingKey.generate()]))
    events = await read(tone_model, asked, [9.0], other=turned_model, keys=keys)
    timeline = Timeline()
    for event in events:
        timeline.add(event)
    after = [turn for turn in timeline.turns() if turn.start_samples > 10 * SECOND]
    assert "Ann" in {turn.speaker for turn in after}


async def test_a_stream_goes_to_the_version_that_knows_its_voices(
    tone_model: BoundModel, turned_model: BoundModel
) -> None:
    """Whichever it is drawn for; where it asked for another one, it is told what is wrong."""
    primary, canary = Faulty(tone_model), Faulty(turned_model, version="2.0.0")
    rollout = Rollout(primary=pin(primary), canary=Canary(pin=pin(canary), percentage=50.0))
    async with serving([primary, canary], rollout, DEFAULT_RULES) as pod:
        for role, model in itertools.product((Role.PRIMARY, Role.CANARY), (primary, canary)):
            session = next(sessions(rollout, role))
            space = model.manifest.embedding_space
            asked = config(session=session, enrolled_speakers=[sent("Ann", 2, space=space)])
            replies = await diarize(pod.address, [asked, *pieces(DATA, 9000), FINISH])
            assert replies[0].begin.model_version == model.manifest.resource_name
            assert "Ann" in turns_of(replies)
        stubborn = config(
            model=pb.ModelSelector(version=canary.manifest.resource_name),
            enrolled_speakers=[sent("Ann", 2, space=primary.manifest.embedding_space)],
        )
        error = await failure(pod.address, [stubborn])
        assert error.reason == "EMBEDDING_SPACE_MISMATCH"
        assert "other-2" in error.message


class Narrow:
    """A model whose vectors are shorter; all else is the model's."""

    def __init__(self, model: BoundModel, dim: int, **manifest: object) -> None:
        self._model = model
        changes = {"embedding_dim": dim, "version": semver.Version(1, 1, 0), **manifest}
        self.manifest: Manifest = model.manifest.model_copy(update=changes)
        self.state_shapes = model.state_shapes
        self._dim = dim

    def run(self, audio: FloatArray, state: State) -> tuple[Frames, dict[str, FloatArray]]:
        """Computes a hop of each stream."""
        frames, after = self._model.run(audio, state)
        return Frames(frames.speech, frames.activity, frames.embedding[..., : self._dim]), after

    def terminate(self) -> None:
        """Nothing hangs."""


@pytest.mark.parametrize(
    ("dim", "changes", "knows"),
    [(16, {}, True), (16, {"embedding_space": "other-2"}, False), (12, {}, False)],
)
async def test_a_shadow_knows_the_voices_if_they_mean_the_same_to_it(
    tone_model: BoundModel, dim: int, changes: dict[str, object], knows: bool
) -> None:
    """Else it hears the stream without names, and disturbs nobody."""
    primary, shadow = Faulty(tone_model), Narrow(tone_model, dim, **changes)
    rollout = Rollout(primary=pin(primary), shadow=Shadow(pin=pin(shadow)))
    space = primary.manifest.embedding_space
    asked = config(session="one", enrolled_speakers=[sent("Ann", 8, space=space)])
    async with (
        serving([primary, shadow], rollout, DEFAULT_RULES, shadow_lag_seconds=ALL_THE_TIME) as pod,
        grpc.aio.insecure_channel(pod.address) as channel,
    ):
        call = pb_grpc.DiarizationStub(channel).Diarize()
        for request in [asked, *pieces(DATA, 15_360)]:
            await call.write(request)
        await pod.until(lambda: outcomes(pod, Role.SHADOW).compared_frames >= 200)
        await call.write(FINISH)
        await call.done_writing()
        assert turns_of([reply async for reply in call])[0] == "Ann"
        assert (outcomes(pod, Role.SHADOW).differing_frames == 0) is knows
