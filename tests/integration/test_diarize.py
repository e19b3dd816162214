"""Diarize and DiarizeFile on a real server with small models: what is promised on the messages."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest

from tests.fakes.models import Spoken, tones
from tests.fakes.service import (
    FINISH,
    FLUSH,
    audio,
    config,
    diarize,
    failure,
    pcm16,
    pieces,
    plain,
)
from voiceflow.artifact import LatencyMode
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc
from voiceflow.errors import InvalidInput, NotFound
from voiceflow.pipeline import offline
from voiceflow.pipeline.model import BoundModel
from voiceflow.rpc.status import from_rpc_error
from voiceflow_inference import messages
from voiceflow_inference.stages import Stage

CONVERSATION = tones(
    Spoken((2,), 4.0), Spoken((), 0.7), Spoken((8,), 3.3), Spoken((2, 8), 2.0), Spoken((2,), 3.21)
)
DATA = pcm16(CONVERSATION)
MODES = {LatencyMode.DENSITY: pb.LATENCY_MODE_DENSITY, LatencyMode.AGENT: pb.LATENCY_MODE_AGENT}


def updates(replies: list[pb.DiarizeResponse]) -> list[pb.Update]:
    """The Updates among the replies."""
    return [reply.update for reply in replies if reply.HasField("update")]


def final_regions(replies: list[pb.DiarizeResponse]) -> list[bytes]:
    """The partition, to the byte."""
    return [
        region.SerializeToString(deterministic=True)
        for update in updates(replies)
        for region in update.final_regions
    ]


def final_turns(replies: list[pb.DiarizeResponse]) -> list[bytes]:
    """The final turns, to the byte."""
    return [
        turn.SerializeToString(deterministic=True)
        for update in updates(replies)
        for turn in update.turns
        if turn.final
    ]


@pytest.mark.parametrize("mode", LatencyMode)
async def test_a_stream_says_what_the_pipeline_says(
    address: str, model: BoundModel, mode: LatencyMode
) -> None:
    """Through the service come exactly the regions and turns of the pipeline run by itself."""
    replies = await diarize(
        address, [config(latency_mode=MODES[mode]), *pieces(DATA, 5000), FINISH]
    )
    heard = np.frombuffer(DATA, "<i2").astype(np.float32) / np.float32(32768)
    results = offline.diarize(model, heard, mode=mode)
    regions = messages.regions([r for result in results for r in result.final_regions])
    turns = messages.turns([turn for result in results for turn in result.turns_final])
    assert final_regions(replies) == [r.SerializeToString(deterministic=True) for r in regions]
    assert final_turns(replies) == [turn.SerializeToString(deterministic=True) for turn in turns]
    assert replies[0].HasField("begin")
    summary = replies[-1].summary
    assert summary.complete
    assert summary.audio_covered == messages.duration(len(CONVERSATION))
    assert {speaker.speaker for speaker in summary.speakers} >= {"S1", "S2"}


@pytest.mark.parametrize("size", [2, 2000, 1024 * 1024])
async def test_the_cut_into_messages_changes_nothing(address: str, size: int) -> None:
    """One-sample messages, odd ones and one for all give the same replies, to the byte."""
    data = DATA[: 4 * 32_000] if size == 2 else DATA
    usual = await diarize(address, [config(session="a"), *pieces(data, 6400), FINISH])
    other = await diarize(address, [config(session="a"), *pieces(data, size), FINISH])
    assert plain(other) == plain(usual)


async def test_a_recording_gives_what_a_stream_gives(address: str) -> None:
    """DiarizeFile: the partition and turns of Diarize, regions joined where speakers are equal."""
    replies = await diarize(address, [config(), *pieces(DATA, 6400), FINISH])
    async with grpc.aio.insecure_channel(address) as channel:
        requests = [
            pb.DiarizeFileRequest(config=config().config),
            *(pb.DiarizeFileRequest(audio=piece.audio) for piece in pieces(DATA, 7000)),
        ]
        whole = await pb_grpc.DiarizationStub(channel).DiarizeFile(iter(requests))
    joined: list[pb.Region] = []
    for update in updates(replies):
        for region in update.final_regions:
            if joined and joined[-1].speakers == region.speakers:
                joined[-1].end.CopyFrom(region.end)
            else:
                joined.append(region)
    assert list(whole.regions) == joined
    assert sorted(t.SerializeToString(deterministic=True) for t in whole.turns) == sorted(
        final_turns(replies)
    )
    starts = [turn.start.ToNanoseconds() for turn in whole.turns]
    assert starts == sorted(starts)
    assert whole.summary == replies[-1].summary


async def test_final_regions_and_progress_fit_together(address: str) -> None:
    """Regions partition the audio, each Update ends at its final_until, and one comes every hop."""
    seen = updates(await diarize(address, [config(), *pieces(DATA, 6400), FINISH]))
    end = 0
    for update in seen:
        for region in update.final_regions:
            assert region.start.ToNanoseconds() == end
            end = region.end.ToNanoseconds()
        assert update.final_until.ToNanoseconds() == end
        assert update.generation == 1
    assert end == len(CONVERSATION) * 62_500
    covered = [update.audio_covered.ToNanoseconds() for update in seen]
    assert covered[:27] == [480_000_000 * (hop + 1) for hop in range(27)]


async def test_half_close_without_finish_is_not_complete(address: str) -> None:
    """I18: everything is made final all the same, and the Summary says so."""
    finished = await diarize(address, [config(), audio(DATA), FINISH])
    cut = await diarize(address, [config(), audio(DATA)])
    assert final_turns(cut) == final_turns(finished)
    assert not cut[-1].summary.complete


async def test_flush_makes_final_what_is_known(address: str) -> None:
    """After a flush all but the look-ahead is final, and the partition goes on without a seam."""
    replies = await diarize(
        address, [config(), audio(DATA[:50_000]), FLUSH, audio(DATA[50_000:]), FINISH]
    )
    seen = updates(replies)
    flushed = next(i for i, update in enumerate(seen) if update.final_until.ToNanoseconds() > 0)
    frames = 50_000 // 2 // 640
    assert seen[flushed].final_until == messages.duration((frames - 4) * 640)
    end = 0
    for update in seen:
        for region in update.final_regions:
            assert region.start.ToNanoseconds() == end
            end = region.end.ToNanoseconds()
    assert end == len(CONVERSATION) * 62_500


async def test_provisional_turns_and_activity_come_when_asked_for(address: str) -> None:
    """Activity covers each frame of the audio once, tracks as late as the model's look-ahead."""
    asked = config(send_provisional_turns=True, send_activity=True)
    seen = updates(await diarize(address, [asked, *pieces(DATA, 6400), FINISH]))
    assert any(not turn.final for update in seen for turn in update.turns)
    speech, tracks = [0, 0], [0, 0]
    for update in seen:
        if not update.HasField("activity"):
            continue
        activity = update.activity
        assert activity.speech_start == messages.duration(speech[0] * 640)
        assert activity.tracks_start == messages.duration(tracks[0] * 640)
        speech[0] += len(activity.speech)
        tracks[0] += len(activity.tracks) // activity.track_count
    frames = -(-len(CONVERSATION) // 640)
    assert (speech[0], tracks[0]) == (frames, frames)
    plain = updates(await diarize(address, [config(), *pieces(DATA, 6400), FINISH]))
    assert all(turn.final for update in plain for turn in update.turns)
    assert not any(update.HasField("activity") for update in plain)


async def test_a_stream_without_audio_ends_well(address: str) -> None:
    """Begin, an empty Update, Summary."""
    replies = await diarize(address, [config(session="empty-1"), FINISH])
    assert replies[0].begin.session == "empty-1"
    assert replies[-1].summary.complete
    assert not final_regions(replies)


ORDER = [
    ([], "CONFIG_MISSING"),
    ([audio(b"")], "CONFIG_MISSING"),
    ([FLUSH], "CONFIG_MISSING"),
    ([pb.DiarizeRequest()], "CONFIG_MISSING"),
    ([config(), config()], "CONFIG_REPEATED"),
    ([config(), pb.DiarizeRequest()], "REQUEST_EMPTY"),
    ([config(), FINISH, audio(b"")], "REQUEST_AFTER_FINISH"),
    ([config(), FINISH, FINISH], "REQUEST_AFTER_FINISH"),
    ([config(), audio(b"\0")], "AUDIO_PARTIAL_FRAME"),
    ([config(), audio(bytes(1024 * 1024 + 2))], "AUDIO_MESSAGE_TOO_LARGE"),
]


@pytest.mark.parametrize(("requests", "reason"), ORDER)
async def test_requests_out_of_order_are_invalid(
    address: str, requests: list[pb.DiarizeRequest], reason: str
) -> None:
    """I1, I2, I5, I8: INVALID_ARGUMENT, each with its reason."""
    error = await failure(address, requests)
    assert (type(error), error.reason) == (InvalidInput, reason)


async def test_a_stream_that_ends_with_an_error_has_no_summary(address: str) -> None:
    """Also where the error comes after everything was computed."""
    replies: list[pb.DiarizeResponse] = []

    async def read_all(call: AsyncIterator[pb.DiarizeResponse]) -> None:
        async for reply in call:
            replies.append(reply)  # noqa: PERF401 what came before the error is wanted

    async with grpc.aio.insecure_channel(address) as channel:
        call = pb_grpc.DiarizationStub(channel).Diarize()
        for request in (config(), audio(DATA), FINISH, audio(b"")):
            await call.write(request)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await read_all(aiter(call))
    assert from_rpc_error(ended.value).reason == "REQUEST_AFTER_FINISH"
    assert len(replies) > 2
    assert not any(reply.HasField("summary") for reply in replies)


async def test_numbers_that_are_not_finite_are_invalid(address: str) -> None:
    """I6: NaN in FLOAT32 ends its stream; what came before it was answered."""
    asked = config(
        audio_format=pb.AudioFormat(encoding=pb.AUDIO_ENCODING_FLOAT32, sample_rate_hertz=16_000)
    )
    good = CONVERSATION.tobytes()
    bad = np.array([0.0, np.nan], np.float32).tobytes()
    error = await failure(address, [asked, audio(good), audio(bad), FINISH])
    assert (type(error), error.reason, error.field) == (InvalidInput, "AUDIO_NOT_FINITE", "audio")


async def test_timings_say_where_the_time_of_each_hop_went(address: str) -> None:
    """Where they are asked for: every stage, in order; nothing else that is said changes."""
    requests = [*pieces(DATA[: 4 * 32_000], 6400), FINISH]
    usual = await diarize(address, [config(session="a"), *requests])
    timed = await diarize(address, [config(session="a", send_timings=True), *requests])
    told = [reply.timings for reply in timed if reply.HasField("timings")]
    assert plain([reply for reply in timed if not reply.HasField("timings")]) == plain(usual)
    assert [[stage.name for stage in one.stages] for one in told] == [[*Stage]] * len(told)
    assert all(stage.elapsed.ToNanoseconds() >= 0 for one in told for stage in one.stages)
    # The message of 200 ms that brings the end of each hop of 480 ms; the config is number 0.
    assert [one.request for one in told[:3]] == [3, 5, 8]
    ends = [one.audio_end.ToNanoseconds() for one in told]
    assert ends[:8] == [480_000_000 * hop for hop in range(1, 9)]
    assert ends[-1] == 4_000_000_000


async def test_configs_are_checked(address: str) -> None:
    """A field at fault is named by its path; what is not served says so."""
    bad_rate = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_PCM16, sample_rate_hertz=7)
    error = await failure(address, [config(audio_format=bad_rate)])
    assert isinstance(error, InvalidInput)
    assert error.field == "config.audio_format.sample_rate_hertz"

    error = await failure(address, [config(resume_token=b"x")])
    assert isinstance(error, InvalidInput)
    assert error.field == "config.resume_token"

    other = pb.ModelSelector(version="models/tones/versions/9.0.0")
    error = await failure(address, [config(model=other)])
    assert isinstance(error, NotFound)
    assert "models/tones/versions/1.0.0" in error.message


@pytest.mark.parametrize("rate_hertz", [8000, 22_050, 48_000])
async def test_other_rates_are_resampled_the_same_for_any_cut(
    address: str, rate_hertz: int
) -> None:
    """The replies are equal to the byte, and the audio covered is the audio sent."""
    seconds = np.arange(3 * rate_hertz) / rate_hertz
    data = pcm16(0.3 * np.sin(2 * np.pi * 400 * seconds))
    asked = config(
        session="a",
        audio_format=pb.AudioFormat(encoding=pb.AUDIO_ENCODING_PCM16, sample_rate_hertz=rate_hertz),
    )
    usual = await diarize(address, [asked, *pieces(data, 6400), FINISH])
    other = await diarize(address, [asked, *pieces(data, 998), FINISH])
    assert plain(usual) == plain(other)
    assert usual[-1].summary.audio_covered.seconds == 3
    latency = usual[0].begin.algorithmic_latency.ToNanoseconds()
    assert latency > (480 + 160) * 1_000_000
