"""The client against the real service; against a scripted server only for what that never does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.fakes.models import Spoken, tones, write_stream_package
from tests.fakes.scripted import BEGIN, SUMMARY, refusing, scripted
from tests.fakes.service import pcm16, running
from voiceflow.client import (
    NO_RETRY,
    AudioFormat,
    Begin,
    DiarizationClient,
    Encoding,
    EnrolledSpeaker,
    Event,
    Flush,
    Prototype,
    RetryPolicy,
    StreamConfig,
    Summary,
    Timeline,
    Update,
    seconds,
)
from voiceflow.client.audio import open_recording
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.errors import InvalidInput, Overloaded, Unavailable, VoiceFlowError
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel
from voiceflow.rpc.status import abort_arguments
from voiceflow_inference.app import App

FORMAT = AudioFormat(Encoding.PCM16, 16_000)
CONFIG = StreamConfig(FORMAT)
DATA = pcm16(tones(Spoken((2,), 4.0), Spoken((), 0.8), Spoken((8,), 3.2), Spoken((2, 8), 2.0)))
SOON = RetryPolicy(attempts=3, first_pause_seconds=0.01, longest_pause_seconds=1.0)
GONE = Unavailable("restarting", reason="DRAINING")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BoundModel:
    """A small model that hears tones."""
    return bind(load_package(write_stream_package(tmp_path_factory.mktemp("package"))))


@pytest.fixture
async def service(model: BoundModel) -> AsyncIterator[tuple[App, str]]:
    """The real service."""
    async with running(model) as served:
        yield served


@pytest.fixture
async def client(service: tuple[App, str]) -> AsyncIterator[DiarizationClient]:
    """Connected to the real service."""
    async with DiarizationClient(service[1]) as connected:
        yield connected


async def pieces(data: bytes = DATA, size: int = 3200) -> AsyncIterator[bytes]:
    """Audio in messages of that size."""
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def all_events(
    client: DiarizationClient, audio: AsyncIterator[Any], config: StreamConfig = CONFIG
) -> list[Event]:
    """A whole stream."""
    return [event async for event in client.diarize(audio, config)]


def timeline_of(events: list[Event]) -> Timeline:
    """The events put together."""
    timeline = Timeline()
    for event in events:
        timeline.add(event)
    return timeline


async def test_a_stream_begins_and_ends_as_promised(client: DiarizationClient) -> None:
    """`Begin` is the first event, a complete `Summary` the last, all audio is covered."""
    events = await all_events(client, pieces())
    assert isinstance(events[0], Begin)
    last = events[-1]
    assert isinstance(last, Summary)
    assert last.complete
    assert seconds(last.covered_samples) == 10.0
    assert events[0].model_version == last.model_version == "models/tones/versions/1.0.0"
    assert list(timeline_of(events).talk_samples()) == ["S1", "S2"]
    assert timeline_of(events).overlap_samples() > 0


async def test_a_file_has_the_turns_of_the_stream(client: DiarizationClient) -> None:
    """Both ways of sending the same audio give the same timeline."""
    live = timeline_of(await all_events(client, pieces()))
    file = Timeline.of_file(await client.diarize_file(lambda: pieces(size=50_000), CONFIG))
    assert file.turns() == live.turns()
    assert file.regions() == live.regions()
    assert file.talk_samples() == live.talk_samples()


async def test_many_streams_of_one_client_do_not_mix(client: DiarizationClient) -> None:
    """Each has the turns that it has alone."""
    alone = timeline_of(await all_events(client, pieces())).turns()
    together = await asyncio.gather(
        *(all_events(client, pieces(size=800 * (1 + index))) for index in range(8))
    )
    for events in together:
        assert timeline_of(events).turns() == alone


async def test_no_audio_is_a_conversation_too(client: DiarizationClient) -> None:
    """A source that ends at once gives an empty, complete timeline."""
    timeline = timeline_of(await all_events(client, pieces(b"")))
    assert timeline.regions() == ()
    assert timeline.summary is not None
    assert timeline.summary.complete


async def test_the_source_is_not_read_ahead_of_a_reader_that_lags(
    service: tuple[App, str],
) -> None:
    """At no time is more audio taken than `ahead_seconds` past what the caller has seen."""
    seen_seconds = 0.0
    furthest = 0.0

    async def source() -> AsyncIterator[bytes]:
        nonlocal furthest
        taken_seconds = 0.0
        async for piece in pieces(DATA * 2):
            taken_seconds += FORMAT.seconds(len(piece))
            furthest = max(furthest, taken_seconds - seen_seconds)
            yield piece

    async with DiarizationClient(service[1], ahead_seconds=2.0) as client:
        async for event in client.diarize(source(), CONFIG):
            for _ in range(20):  # others run; the sender would run away here
                await asyncio.sleep(0)
            if isinstance(event, Update):
                seen_seconds = seconds(event.covered_samples)
    assert seen_seconds == 20.0
    # The update in the caller's hands is not yet counted in seen_seconds; a hop is 0.48 s.
    assert 2.0 < furthest <= 2.0 + 2 * 0.1 + 0.48


async def test_silence_does_not_stall_a_stream_that_may_not_run_ahead(
    service: tuple[App, str],
) -> None:
    """Hops without speech are reported too, so that sending goes on."""
    async with DiarizationClient(service[1], ahead_seconds=1.0) as client:
        events = await all_events(client, pieces(bytes(320_000), 32_000))
    assert timeline_of(events).covered_samples == 160_000


async def test_a_flush_makes_everything_final_at_once(client: DiarizationClient) -> None:
    """The source waits for it: without the flush it would wait for ever."""
    final = asyncio.Event()

    async def source() -> AsyncIterator[bytes | Flush]:
        yield DATA[:64_000]
        yield Flush()
        await final.wait()
        yield DATA[64_000:]

    timeline = Timeline()
    async for event in client.diarize(source(), CONFIG):
        timeline.add(event)
        # Two seconds were sent; the model's look-ahead (0.16 s) is not yet known.
        if timeline.final_until_samples >= 32_000 - 4 * 640:
            final.set()
    assert timeline.final_until_samples == 160_000


async def test_provisional_turns_come_if_asked_for(client: DiarizationClient) -> None:
    """And only then."""
    config = StreamConfig(FORMAT, send_provisional_turns=True)
    for asked, expected in ((CONFIG, False), (config, True)):
        events = await all_events(client, pieces(), asked)
        turns = [turn for event in events if isinstance(event, Update) for turn in event.turns]
        assert any(not turn.final for turn in turns) is expected


async def test_a_source_that_fails_ends_the_stream_with_its_own_error(
    service: tuple[App, str], client: DiarizationClient
) -> None:
    """The caller gets what the source raised, the server forgets the stream."""

    async def broken() -> AsyncIterator[bytes]:
        yield DATA[:32_000]
        raise OSError("unplugged")

    with pytest.raises(OSError, match="unplugged"):
        await all_events(client, broken())
    await freed(service[0])


async def test_a_caller_that_leaves_frees_the_stream(
    service: tuple[App, str], client: DiarizationClient
) -> None:
    """Closing the generator is enough, also while the source has nothing to give."""

    async def silent() -> AsyncIterator[bytes]:
        yield DATA[:32_000]
        await asyncio.Event().wait()

    async with aclosing(client.diarize(silent(), CONFIG)) as events:
        async for event in events:
            if isinstance(event, Update):
                break
    await freed(service[0])


async def freed(app: App) -> None:
    """Asks until the service has no stream."""
    async with DiarizationClient(app.server.address) as client, asyncio.timeout(10):
        while (await client.serving_state()).streams:
            pass


@pytest.mark.parametrize(
    ("config", "kind", "field"),
    [
        (StreamConfig(AudioFormat(Encoding.PCM16, 7)), InvalidInput, "sample_rate_hertz"),
        (StreamConfig(AudioFormat(Encoding.PCM16, 16_000, 99)), InvalidInput, "channel_count"),
        (
            StreamConfig(
                FORMAT,
                enrolled_speakers=(EnrolledSpeaker("Ann", (Prototype("s", (1.0,), 1.0),)),),
            ),
            InvalidInput,
            "enrolled_speakers[0].prototypes[0].embedding_space",
        ),
    ],
    ids=["rate", "channels", "enrolment"],
)
async def test_a_refused_config_is_an_exception_that_names_the_field(
    client: DiarizationClient, config: StreamConfig, kind: type[VoiceFlowError], field: str
) -> None:
    """Of the tree in `voiceflow.errors`, with the server's reason; no audio was taken."""
    audio = pieces()
    with pytest.raises(kind) as caught:
        await all_events(client, audio, config)
    assert await anext(audio) == DATA[:3200], "the first piece is still there"
    assert field in (caught.value.field or caught.value.message)
    assert caught.value.reason.isupper()


async def test_wrong_audio_is_an_exception_in_the_middle(client: DiarizationClient) -> None:
    """Half a sample is refused, for streams and for files."""
    with pytest.raises(InvalidInput):
        await all_events(client, pieces(DATA[:3201], 3201))
    with pytest.raises(InvalidInput):
        await client.diarize_file(lambda: pieces(DATA[:3201], 3201), CONFIG)


async def test_a_full_server_says_when_to_come_back(model: BoundModel) -> None:
    """Without retries the refusal is the caller's to handle; the stream inside goes on."""
    async with (
        running(model, streams=1, streams_per_principal=1) as (_, address),
        DiarizationClient(address, retry=NO_RETRY) as client,
    ):
        async with aclosing(client.diarize(pieces(), CONFIG)) as inside:
            events = [await anext(inside)]
            with pytest.raises(Overloaded) as caught:
                await all_events(client, pieces())
            assert caught.value.retry_after_seconds > 0
            events += [event async for event in inside]
        assert isinstance(events[-1], Summary)


async def test_the_serving_state_names_the_model_and_its_load(client: DiarizationClient) -> None:
    """While a stream runs it is counted."""
    async with aclosing(client.diarize(pieces(), CONFIG)) as events:
        await anext(events)
        state = await client.serving_state()
    assert state.streams == 1
    assert [one.model_version for one in state.generations] == ["models/tones/versions/1.0.0"]
    assert state.generations[0].state == "active"
    assert state.settings["streams"] == "64"
    assert not state.draining


async def test_a_client_can_wait_for_a_server(service: tuple[App, str]) -> None:
    """The health service says when it serves."""
    async with DiarizationClient(service[1]) as client:
        await client.wait_until_serving(timeout_seconds=30)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    """After the policy's tries, with gRPC's reason."""
    async with DiarizationClient("127.0.0.1:1", retry=SOON) as client:
        with pytest.raises(Unavailable):
            await all_events(client, pieces())


@pytest.mark.parametrize(
    "error", [GONE, Overloaded("full", reason="FULL", retry_after_seconds=0.01)]
)
async def test_a_stream_that_was_not_admitted_is_asked_for_again(error: VoiceFlowError) -> None:
    """Up to the policy's tries, and none of the audio is lost by it."""
    heard = bytearray()

    async def serve(requests: AsyncIterator[pb.DiarizeRequest], context: Any) -> None:
        await context.write(BEGIN)
        async for request in requests:
            heard.extend(request.audio)
        await context.write(SUMMARY)

    async with (
        scripted(refusing(error), refusing(error), serve) as (script, address),
        DiarizationClient(address, retry=SOON) as client,
    ):
        await all_events(client, pieces())
    assert script.calls == 3
    assert bytes(heard) == DATA


async def test_the_tries_are_counted() -> None:
    """After three refusals the third is the answer."""
    async with (
        scripted(refusing(GONE)) as (script, address),
        DiarizationClient(address, retry=SOON) as client,
    ):
        with pytest.raises(Unavailable) as caught:
            await all_events(client, pieces())
    assert caught.value.reason == "DRAINING"
    assert script.calls == 3


async def test_a_stream_that_may_not_be_resumed_is_never_asked_for_again() -> None:
    """Audio was consumed: whether to begin anew is the caller's to say then."""

    async def cut(requests: AsyncIterator[pb.DiarizeRequest], context: Any) -> None:
        await context.write(BEGIN)
        await anext(aiter(requests))
        await context.abort(*abort_arguments(GONE))

    async with (
        scripted(cut) as (script, address),
        DiarizationClient(address, retry=SOON) as client,
    ):
        with pytest.raises(Unavailable) as caught:
            [event async for event in client.diarize(pieces(), CONFIG, resume=False)]
    assert caught.value.reason == "DRAINING"
    assert script.calls == 1


async def test_a_stream_that_ends_without_a_summary_was_cut() -> None:
    """OK is not enough to take a timeline for complete."""

    async def short(requests: AsyncIterator[pb.DiarizeRequest], context: Any) -> None:
        await anext(aiter(requests))
        await context.write(BEGIN)

    async with (
        scripted(short) as (_, address),
        DiarizationClient(address, retry=NO_RETRY) as client,
    ):
        with pytest.raises(Unavailable) as caught:
            await all_events(client, pieces())
    assert caught.value.reason == "STREAM_CUT"


async def test_a_server_that_does_not_begin_is_refused() -> None:
    """Anything else in the place of `Begin` breaks the contract."""

    async def wrong(requests: AsyncIterator[pb.DiarizeRequest], context: Any) -> None:
        await anext(aiter(requests))
        await context.write(SUMMARY)

    async with scripted(wrong) as (_, address), DiarizationClient(address) as client:
        with pytest.raises(VoiceFlowError) as caught:
            await all_events(client, pieces())
    assert caught.value.reason == "BEGIN_MISSING"


async def test_a_file_is_sent_again_from_its_beginning() -> None:
    """The answer is one message, so a recording that was cut off half way can be sent anew."""
    heard: list[bytes] = []

    async def cut(requests: AsyncIterator[pb.DiarizeFileRequest], context: Any) -> None:
        stream = aiter(requests)
        for _ in range(3):
            await anext(stream)
        await context.abort(*abort_arguments(GONE))

    async def serve(
        requests: AsyncIterator[pb.DiarizeFileRequest], _: Any
    ) -> pb.DiarizeFileResponse:
        heard.append(b"".join([request.audio async for request in requests]))
        return pb.DiarizeFileResponse(summary=pb.Summary(complete=True))

    async with (
        scripted(cut, serve) as (script, address),
        DiarizationClient(address, retry=SOON) as client,
    ):
        result = await client.diarize_file(pieces, CONFIG)
    assert result.summary.complete
    assert script.calls == 2
    assert heard == [DATA]


async def test_a_recording_in_every_named_format_is_heard(
    client: DiarizationClient, tmp_path: Path
) -> None:
    """WAV, FLAC, MP3, Vorbis and Opus of the same conversation have the same two voices."""
    samples = tones(Spoken((2,), 4.0), Spoken((), 0.8), Spoken((8,), 3.2))
    for name, options in (
        ("a.wav", {}),
        ("a.flac", {}),
        ("a.mp3", {}),
        ("a.ogg", {"subtype": "VORBIS"}),
        ("a.opus", {"format": "OGG", "subtype": "OPUS"}),
    ):
        soundfile.write(tmp_path / name, samples, 16_000, **options)
        source = open_recording(tmp_path / name)
        result = await client.diarize_file(
            partial(source.pieces, 1.0), StreamConfig(source.audio_format)
        )
        talk = Timeline.of_file(result).talk_samples()
        assert [round(seconds(talk[speaker])) for speaker in ("S1", "S2")] == [4, 3], name
