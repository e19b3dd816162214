"""Bytes become the same samples however they are cut, for every encoding and rate."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceflow.errors import InvalidInput
from voiceflow_inference.audio import (
    AudioDecoder,
    AudioEncoding,
    AudioFormat,
    FloatArray,
    resampler_delay_samples,
)

RATES = [8000, 11_025, 16_000, 22_050, 44_100, 48_000]


def decoded(audio_format: AudioFormat, pieces: list[bytes]) -> FloatArray:
    """The samples of a whole stream."""
    decoder = AudioDecoder(audio_format)
    return np.concatenate([*(decoder.push(piece) for piece in pieces), decoder.finish()])


@st.composite
def cut_streams(draw: st.DrawFn) -> tuple[AudioFormat, bytes, list[bytes]]:
    """A format, bytes of it, and these bytes cut between sample frames."""
    channels = draw(st.integers(1, 3))
    audio_format = AudioFormat(
        draw(st.sampled_from(AudioEncoding)),
        draw(st.sampled_from(RATES)),
        channels,
        draw(st.none() | st.integers(0, channels - 1)),
    )
    frames = draw(st.integers(0, 3000))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    if audio_format.encoding is AudioEncoding.FLOAT32:
        data = rng.uniform(-1.5, 1.5, frames * channels).astype("<f4").tobytes()
    else:
        data = rng.bytes(frames * audio_format.frame_bytes)
    cuts = sorted(draw(st.lists(st.integers(0, frames), max_size=8)))
    edges = [0, *(cut * audio_format.frame_bytes for cut in cuts), len(data)]
    return audio_format, data, [data[a:b] for a, b in itertools.pairwise(edges)]


@settings(max_examples=150, deadline=None)
@given(cut_streams())
def test_no_cut_changes_a_sample(stream: tuple[AudioFormat, bytes, list[bytes]]) -> None:
    """The samples of cut bytes equal those of the whole, to the byte, in -1 to 1."""
    audio_format, data, pieces = stream
    whole = decoded(audio_format, [data])
    assert decoded(audio_format, pieces).tobytes() == whole.tobytes()
    assert np.abs(whole).max(initial=0) <= 1


def test_one_sample_at_a_time_is_a_cut_too() -> None:
    """The smallest messages that are allowed."""
    audio_format = AudioFormat(AudioEncoding.PCM16, 44_100)
    data = np.random.default_rng(0).bytes(2 * 9000)
    pieces = [data[start : start + 2] for start in range(0, len(data), 2)]
    assert decoded(audio_format, pieces).tobytes() == decoded(audio_format, [data]).tobytes()


@pytest.mark.parametrize("rate_hertz", RATES)
def test_no_sample_is_lost_in_resampling(rate_hertz: int) -> None:
    """A stream of n seconds gives n x 16,000 samples, and a tone stays the tone that it was."""
    seconds = np.arange(3 * rate_hertz) / rate_hertz
    tone = (0.5 * np.sin(2 * math.pi * 440 * seconds)).astype("<f4")
    samples = decoded(AudioFormat(AudioEncoding.FLOAT32, rate_hertz), [tone.tobytes()])
    assert len(samples) == 48_000
    wanted = 0.5 * np.sin(2 * math.pi * 440 * np.arange(48_000) / 16_000)
    assert np.abs(samples - wanted)[800:-800].max() < 2e-3


@pytest.mark.parametrize("rate_hertz", RATES)
def test_the_stated_delay_holds(rate_hertz: int) -> None:
    """No sample waits for more audio than ``resampler_delay_samples`` says."""
    delay = resampler_delay_samples(rate_hertz)
    assert (delay == 0) == (rate_hertz == 16_000)
    decoder = AudioDecoder(AudioFormat(AudioEncoding.MULAW, rate_hertz))
    fed = produced = 0
    for length in [1, 7, 100, 999] * 60:
        fed += length
        produced += len(decoder.push(bytes(length)))
        assert fed * 16_000 / rate_hertz - produced <= delay


# From the decoder tables of ITU-T G.711: character signal to decoder output, in 16 bits.
MULAW = {0xFF: 0, 0xFE: 8, 0xF0: 120, 0xEF: 132, 0x80: 32_124, 0x7E: -8, 0x00: -32_124}
ALAW = {0xD5: 8, 0xD4: 24, 0x55: -8, 0xAA: 32_256, 0x2A: -32_256, 0xC5: 264}


@pytest.mark.parametrize(
    ("encoding", "table"), [(AudioEncoding.MULAW, MULAW), (AudioEncoding.ALAW, ALAW)]
)
def test_companded_codes_have_their_values(encoding: AudioEncoding, table: dict[int, int]) -> None:
    """Ends, zero and first steps of the tables of G.711."""
    samples = decoded(AudioFormat(encoding, 16_000), [bytes(table)])
    assert (samples * 32_768).tolist() == list(table.values())


def test_all_codes_are_symmetric() -> None:
    """The sign bit alone turns a value into its negative, in both laws."""
    for encoding in (AudioEncoding.MULAW, AudioEncoding.ALAW):
        samples = decoded(AudioFormat(encoding, 16_000), [bytes(range(256))])
        assert np.array_equal(samples[:128], -samples[128:])


def test_channels_are_chosen_or_averaged() -> None:
    """Interleaved channels: one by its number, or the mean."""
    data = np.array([[100, 300], [-200, 400]], "<i2").tobytes()
    for channel, wanted in [(0, [100, -200]), (1, [300, 400]), (None, [200, 100])]:
        audio_format = AudioFormat(AudioEncoding.PCM16, 16_000, 2, channel)
        assert (decoded(audio_format, [data]) * 32_768).tolist() == wanted


@pytest.mark.parametrize(
    ("encoding", "data"),
    [(AudioEncoding.PCM16, bytes(3)), (AudioEncoding.FLOAT32, bytes(6))],
)
def test_a_part_of_a_frame_is_refused(encoding: AudioEncoding, data: bytes) -> None:
    """I5."""
    with pytest.raises(InvalidInput) as caught:
        AudioDecoder(AudioFormat(encoding, 16_000)).push(data)
    assert (caught.value.reason, caught.value.field) == ("AUDIO_PARTIAL_FRAME", "audio")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused(value: float) -> None:
    """I6."""
    with pytest.raises(InvalidInput) as caught:
        AudioDecoder(AudioFormat(AudioEncoding.FLOAT32, 16_000)).push(
            np.array([0, value], "<f4").tobytes()
        )
    assert (caught.value.reason, caught.value.field) == ("AUDIO_NOT_FINITE", "audio")
