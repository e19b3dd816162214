"""I1-I11: requests that are wrong or strange; each is answered with its status.

In every test somebody else is half-way through a conversation and must get all of it.
"""

from __future__ import annotations

import struct

import grpc
import pytest

from tests.fakes.service import FINISH, audio
from tests.faults.place import METHODS, Place
from tests.faults.streams import (
    Refusal,
    Stream,
    config,
    file_audio,
    file_config,
)
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc

INVALID = grpc.StatusCode.INVALID_ARGUMENT
SOUND = audio(b"\0" * 3200)

both_methods = pytest.mark.parametrize("method", METHODS)


def nested(number: int, payload: bytes) -> bytes:
    """A length-delimited field of at most 127 bytes."""
    return bytes([number << 3 | 2, len(payload)]) + payload


@both_methods
async def test_i01_audio_before_config(place: Place, method: str) -> None:
    """The first request must be the config."""
    async with place.bystander():
        seen = await place.refusal(method, SOUND, config())
        assert seen == Refusal(INVALID, "CONFIG_MISSING", "config")


@both_methods
async def test_i01_no_request_at_all(place: Place, method: str) -> None:
    """A stream that is half-closed before it said anything had no config either."""
    async with place.bystander():
        assert await place.refusal(method) == Refusal(INVALID, "CONFIG_MISSING", "config")


@both_methods
async def test_i02_config_twice(place: Place, method: str) -> None:
    """A stream has one config."""
    async with place.bystander():
        seen = await place.refusal(method, config(), SOUND, config())
        assert seen == Refusal(INVALID, "CONFIG_REPEATED", "config")


async def test_i02_requests_after_finish(place: Place) -> None:
    """Nothing may follow finish; the stream does not end as if all were well."""
    async with place.bystander():
        long = audio(place.conversation)
        seen = await place.refusal("Diarize", config(), long, FINISH, SOUND)
        assert (seen.code, seen.reason) == (INVALID, "REQUEST_AFTER_FINISH")


@both_methods
@pytest.mark.parametrize("rate_hertz", [0, -1, 7, 7_999, 48_001, 2**31 - 1])
async def test_i03_sample_rates_out_of_range(place: Place, method: str, rate_hertz: int) -> None:
    """Allowed are 8000 to 48000 Hz."""
    async with place.bystander():
        seen = await place.refusal(method, config(rate_hertz=rate_hertz), SOUND)
        assert seen == Refusal(
            INVALID, "SAMPLE_RATE_INVALID", "config.audio_format.sample_rate_hertz"
        )


@both_methods
async def test_i03_sample_rate_past_its_type(place: Place, method: str) -> None:
    """2^31 does not fit the field; what a parser makes of it is no sample rate."""
    audio_format = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_PCM16).SerializeToString()
    forged = nested(1, nested(1, audio_format + b"\x10\x80\x80\x80\x80\x08"))
    async with place.bystander():
        seen = await place.refusal(method, forged, SOUND)
        assert seen == Refusal(
            INVALID, "SAMPLE_RATE_INVALID", "config.audio_format.sample_rate_hertz"
        )


@both_methods
@pytest.mark.parametrize("encoding", [pb.AUDIO_ENCODING_UNSPECIFIED, 5, 99])
async def test_i04_unknown_encodings(place: Place, method: str, encoding: int) -> None:
    """An encoding that is not set, or newer than the server, is refused and never guessed."""
    async with place.bystander():
        seen = await place.refusal(method, config(encoding=encoding), SOUND)
        assert seen == Refusal(INVALID, "ENCODING_INVALID", "config.audio_format.encoding")


@both_methods
@pytest.mark.parametrize("channels", [-1, 33, 65_535])
async def test_i04_channel_counts_out_of_range(place: Place, method: str, channels: int) -> None:
    """Allowed are 1 to 32 channels."""
    async with place.bystander():
        seen = await place.refusal(method, config(channels=channels), SOUND)
        assert seen == Refusal(
            INVALID, "CHANNEL_COUNT_INVALID", "config.audio_format.channel_count"
        )


async def test_i04_no_channel_count_means_mono(place: Place) -> None:
    """0 channels is what a client sends that does not set the field; it is one channel."""
    async with place.bystander():
        requests = config(channels=0), audio(place.conversation), FINISH
        async with place.stream(*requests) as stream:
            assert await stream.outcome() == place.expected()


@both_methods
@pytest.mark.parametrize(
    ("format_of_audio", "size_bytes"),
    [
        (config(), 3201),
        (config(channels=2), 3202),
        (config(encoding=pb.AUDIO_ENCODING_FLOAT32), 6402),
        (config(encoding=pb.AUDIO_ENCODING_MULAW, channels=3), 3202),
    ],
)
async def test_i05_odd_byte_count(
    place: Place, method: str, format_of_audio: pb.DiarizeRequest, size_bytes: int
) -> None:
    """A message holds whole sample frames."""
    async with place.bystander():
        seen = await place.refusal(method, format_of_audio, audio(b"\0" * size_bytes))
        assert seen == Refusal(INVALID, "AUDIO_PARTIAL_FRAME", "audio")


@both_methods
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
async def test_i06_samples_that_are_no_numbers(place: Place, method: str, value: float) -> None:
    """NaN and infinity are refused before they reach the model, wherever in a message they are."""
    samples = struct.pack("<1600f", *[0.1] * 1599, value)
    async with place.bystander():
        seen = await place.refusal(
            method, config(encoding=pb.AUDIO_ENCODING_FLOAT32), audio(samples)
        )
        assert seen == Refusal(INVALID, "AUDIO_NOT_FINITE", "audio")


async def test_i06_samples_past_full_scale_are_clipped(place: Place) -> None:
    """Large finite samples are allowed: they are clipped, and the model never sees them."""
    samples = struct.pack("<16000f", *[3.4e38, -3.4e38] * 8000)
    async with (
        place.bystander(),
        place.stream(
            config(encoding=pb.AUDIO_ENCODING_FLOAT32, activity=True), audio(samples), FINISH
        ) as stream,
    ):
        outcome = await stream.outcome()
        assert outcome.complete
        assert outcome.regions[-1].end_samples == 16_000


@pytest.mark.slow
async def test_i07_100000_empty_and_one_sample_chunks(place: Place) -> None:
    """They are allowed, cost little, and give what one message gives."""
    data = place.conversation[: 2 * 50_000]
    async with place.bystander(), place.stream(config()) as stream:
        for start in range(0, len(data), 2):
            await stream.send(audio(data[start : start + 2]), audio(b""))
        await stream.send(FINISH)
        assert await stream.outcome() == place.expected(data)


@both_methods
async def test_i08_audio_over_the_cap(place: Place, method: str) -> None:
    """A message may hold 1 MiB of audio and no more."""
    async with place.bystander():
        seen = await place.refusal(method, config(), audio(b"\0" * (1024 * 1024 + 2)))
        assert seen == Refusal(INVALID, "AUDIO_MESSAGE_TOO_LARGE", "audio")


@both_methods
async def test_i08_message_over_the_transports_cap(place: Place, method: str) -> None:
    """Far larger messages are refused by gRPC before they are held in memory."""
    async with place.bystander():
        seen = await place.refusal(method, config(), audio(b"\0" * (8 * 1024 * 1024)))
        assert seen.code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_i08_audio_at_the_cap(place: Place) -> None:
    """Exactly 1 MiB is served."""
    async with (
        place.bystander(),
        place.stream(config(), audio(b"\0" * 1024 * 1024), FINISH) as stream,
    ):
        outcome = await stream.outcome()
        assert outcome.regions[-1].end_samples == 512 * 1024


@both_methods
@pytest.mark.parametrize("position", [0, 1, 2])
async def test_i09_undecodable_message(place: Place, method: str, position: int) -> None:
    """Bytes that are no message are INVALID_ARGUMENT, without a word of the parser's text."""
    requests: list[pb.DiarizeRequest | bytes] = [config(), SOUND]
    requests.insert(position, b"\x0a\xff\xff")
    async with place.bystander():
        seen = await place.refusal(method, *requests)
        assert seen == Refusal(INVALID, "MESSAGE_UNDECODABLE")


@both_methods
async def test_i09_request_without_content(place: Place, method: str) -> None:
    """A request of a kind that this server does not know, or of none, is refused."""
    async with place.bystander():
        seen = await place.refusal(method, config(), nested(15, b"newer"))
        assert seen == Refusal(INVALID, "REQUEST_EMPTY", "request")


async def test_i10_64_kib_of_metadata(place: Place) -> None:
    """A call with more metadata than 16 KiB is refused; another on its connection is served."""
    async with place.bystander(), place.connected() as channel:
        bloated = Stream(channel, metadata=(("x-bloat", "a" * 65_536),))
        await bloated.send(config())
        assert (await bloated.refusal()).code is grpc.StatusCode.RESOURCE_EXHAUSTED

        stream = Stream(channel)
        await stream.send(config(), audio(place.conversation), FINISH)
        assert await stream.outcome() == place.expected()


@pytest.mark.slow
async def test_i11_four_hours_of_silence(place: Place) -> None:
    """Nobody is heard, nothing is left out, and memory stays where it was after eighty minutes.

    But for what the allocator keeps for itself and what is on its way: less than a tenth of what
    the audio that comes meanwhile would take.
    """
    minute = file_audio(b"\xff" * (8_000 * 60))
    async with place.bystander(), place.connected() as channel:
        call = pb_grpc.DiarizationStub(channel).DiarizeFile()
        await call.write(file_config(encoding=pb.AUDIO_ENCODING_MULAW, rate_hertz=8_000))
        for _ in range(80):
            await call.write(minute)
        resident_bytes = place.service.resident_bytes()
        for _ in range(160):
            await call.write(minute)
        await call.done_writing()
        response = await call
        assert place.service.resident_bytes() < resident_bytes + 48_000_000
        [region] = response.regions
        assert region.end.ToSeconds() == 4 * 3600
        assert not region.speakers
        assert response.summary.complete
