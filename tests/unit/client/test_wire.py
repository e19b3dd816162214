"""Between values and messages."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from voiceflow.client import (
    AudioFormat,
    Encoding,
    EnrolledSpeaker,
    LatencyMode,
    ModelChoice,
    Prototype,
    StreamConfig,
    Update,
    wire,
)
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.errors import Unavailable

PLAIN = AudioFormat(Encoding.PCM16, 16_000)


@given(samples=st.integers(0, 2**40))
def test_offsets_are_exact_to_the_sample(samples: int) -> None:
    """62,500 ns a sample, back and forth, for two years of audio."""
    duration = Duration()
    duration.FromNanoseconds(samples * 62_500)
    message = pb.DiarizeResponse(update=pb.Update(audio_covered=duration))
    event = wire.event_of(message)
    assert isinstance(event, Update)
    assert event.covered_samples == samples


def test_every_kind_of_reply_has_an_event() -> None:
    """A kind added to the API and forgotten here is found here."""
    for field in pb.DiarizeResponse.DESCRIPTOR.fields:
        message = pb.DiarizeResponse()
        getattr(message, field.name).SetInParent()
        if field.name == "speech_event":
            message.speech_event.kind = pb.SpeechEvent.KIND_SPEECH_STARTED
        assert wire.event_of(message) is not None, field.name


def test_a_reply_that_is_newer_than_the_client_is_passed_over() -> None:
    """An unknown kind of reply or of event is no error."""
    assert wire.event_of(pb.DiarizeResponse()) is None
    future = pb.DiarizeResponse(speech_event=pb.SpeechEvent(kind=77))  # type: ignore[arg-type]
    assert wire.event_of(future) is None


def test_every_field_of_a_config_is_sent() -> None:
    """Each of the client's settings arrives in the field that is meant for it."""
    config = StreamConfig(
        AudioFormat(Encoding.ALAW, 8000, 2, 0),
        LatencyMode.AGENT,
        ModelChoice.parse("models/m/versions/1.0.0"),
        2,
        5,
        (EnrolledSpeaker("Ann", (Prototype("space", (0.6, 0.8), 2.5),)),),
        send_provisional_turns=True,
        send_activity=True,
        send_timings=True,
        session="call-7",
    )
    message = wire.config_message(config)
    assert message.audio_format == pb.AudioFormat(
        encoding=pb.AUDIO_ENCODING_ALAW, sample_rate_hertz=8000, channel_count=2, channel=0
    )
    assert message.latency_mode == pb.LATENCY_MODE_AGENT
    assert message.model.version == "models/m/versions/1.0.0"
    assert (message.minimum_speakers, message.maximum_speakers) == (2, 5)
    assert message.enrolled_speakers[0].name == "Ann"
    assert message.enrolled_speakers[0].prototypes[0].speech.ToMilliseconds() == 2500
    assert message.send_provisional_turns
    assert message.send_activity
    assert message.send_timings
    assert message.session == "call-7"


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("models/m/channels/stable", "channel"),
        ("models/m/versions/1.0.0", "version"),
        ("models/m@>=1.0.0", "semver_range"),
    ],
)
def test_a_model_choice_is_sent_as_what_it_is(text: str, selector: str) -> None:
    """Channel, version and range are three ways to select."""
    message = wire.config_message(StreamConfig(PLAIN, model=ModelChoice.parse(text)))
    assert message.model.WhichOneof("selector") == selector


def test_voices_are_not_sent_along_with_a_token() -> None:
    """It holds them: a voiceprint travels once."""
    people = (EnrolledSpeaker("Ann", (Prototype("space", (0.6, 0.8), 2.5),)),)
    config = StreamConfig(PLAIN, enrolled_speakers=people)
    message = wire.config_message(config, b"token")
    assert message.resume_token == b"token"
    assert not message.enrolled_speakers
    assert wire.config_message(config).enrolled_speakers


def test_what_is_not_chosen_is_not_sent() -> None:
    """Without a channel or a model the fields are absent, so the server's defaults hold."""
    message = wire.config_message(StreamConfig(PLAIN))
    assert not message.audio_format.HasField("channel")
    assert not message.HasField("model")


def test_bytes_that_are_no_reply_cut_the_stream() -> None:
    """Another one may go on with it."""
    with pytest.raises(Unavailable) as caught:
        wire.parsed(b"\x0a\xff")
    assert caught.value.reason == "STREAM_CUT"
