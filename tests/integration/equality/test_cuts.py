"""Every encoding and rate, cut anywhere: the same final turns and regions, to the byte."""

from __future__ import annotations

import asyncio
import itertools
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.equality import mulaw
from benchmarks.finals import Finals
from tests.fakes.models import Spoken, tones
from tests.fakes.service import pcm16
from tests.integration.equality.conversations import alaw, session_finals
from voiceflow.artifact import LatencyMode
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow_inference.audio import AudioEncoding, AudioFormat

RATES_HERTZ = (8_000, 11_025, 16_000, 44_100, 48_000)


@cache
def encoded(encoding: AudioEncoding, rate_hertz: int) -> bytes:
    """Two voices after one another, 5 s."""
    samples = tones(Spoken((1,), 2.4), Spoken((), 0.3), Spoken((7,), 2.3))
    samples = soxr.resample(samples, 16_000, rate_hertz).astype(np.float32)
    match encoding:
        case AudioEncoding.PCM16:
            return pcm16(samples)
        case AudioEncoding.FLOAT32:
            return bytes(samples.astype("<f4").data)
        case AudioEncoding.MULAW:
            return mulaw(samples)
        case AudioEncoding.ALAW:
            return alaw(samples)


@cache
def in_one_piece(package: Path, audio_format: AudioFormat) -> Finals:
    """What is said of it when it comes at once."""
    return heard(package, audio_format, [])


def heard(package: Path, audio_format: AudioFormat, cuts: list[float]) -> Finals:
    """What is said of it when it is cut at these parts of its length."""
    data = encoded(audio_format.encoding, audio_format.sample_rate_hertz)
    frames = len(data) // audio_format.frame_bytes
    places = [0, *sorted(round(cut * frames) for cut in cuts), frames]
    pieces = [
        data[start * audio_format.frame_bytes : end * audio_format.frame_bytes]
        for start, end in itertools.pairwise(places)
    ]
    return asyncio.run(session_finals(package, LatencyMode.AGENT, audio_format, pieces))


@pytest.mark.parametrize("rate_hertz", RATES_HERTZ)
@pytest.mark.parametrize("encoding", AudioEncoding)
@given(cuts=st.lists(st.floats(0, 1), max_size=40))
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_cut_gives_the_same_bytes(
    stream_package: Path, encoding: AudioEncoding, rate_hertz: int, cuts: list[float]
) -> None:
    """Decoder, resampler and hops keep no trace of where the messages ended."""
    audio_format = AudioFormat(encoding, rate_hertz)
    assert heard(stream_package, audio_format, cuts) == in_one_piece(stream_package, audio_format)


@pytest.mark.parametrize("rate_hertz", RATES_HERTZ)
@pytest.mark.parametrize("encoding", AudioEncoding)
def test_every_encoding_and_rate_tells_the_two_voices(
    stream_package: Path, encoding: AudioEncoding, rate_hertz: int
) -> None:
    """The same sound has the same speakers, whatever it came as."""
    finals = in_one_piece(stream_package, AudioFormat(encoding, rate_hertz))
    turns = [pb.Turn.FromString(turn) for turn in finals.turns]
    assert [turn.speaker for turn in turns] == ["S1", "S2"]
    assert abs(turns[0].end.ToNanoseconds() - 2.4e9) < 0.1e9
    assert abs(turns[1].start.ToNanoseconds() - 2.7e9) < 0.1e9
