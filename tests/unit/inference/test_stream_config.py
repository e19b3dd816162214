"""Every field of a config is checked, and the one at fault is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import semver
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.pipeline.synthetic import manifest
from voiceflow.artifact import LatencyMode
from voiceflow.errors import InvalidInput, NotFound, NotServed, VoiceFlowError
from voiceflow.pipeline.diarizer import StreamDiarizer
from voiceflow.pipeline.snapshot import LEAST_CONTEXT_SAMPLES
from voiceflow_inference.audio import AudioEncoding
from voiceflow_inference.enrolment import VoiceSpace
from voiceflow_inference.resuming import Resumption
from voiceflow_inference.stream_config import (
    ByChannel,
    ByRange,
    ByVersion,
    Selector,
    Served,
    StreamRequest,
    check,
)

SERVED = Served(
    model="diarizer",
    version=semver.Version(1, 4, 0),
    channel="stable",
    hop_samples={LatencyMode.DENSITY: 7680, LatencyMode.AGENT: 1280},
    maximum_speakers=20,
    voices=VoiceSpace.of(manifest()),
)
PLAIN = StreamRequest(
    encoding=AudioEncoding.PCM16,
    sample_rate_hertz=16_000,
    channel_count=0,
    channel=None,
    latency_mode="",
    selector=None,
    minimum_speakers=0,
    maximum_speakers=0,
    send_provisional_turns=False,
    send_activity=False,
    session="",
)


def refusal(**fields: Any) -> VoiceFlowError:
    """What a config with these fields is refused with."""
    with pytest.raises(VoiceFlowError) as caught:
        check(replace(PLAIN, **fields), SERVED)
    return caught.value


def test_defaults_are_filled_in() -> None:
    """Zero and empty mean: one channel, density, all speakers allowed, a session of its own."""
    config = check(PLAIN, SERVED)
    assert config.audio_format.channel_count == 1
    assert config.latency_mode is LatencyMode.DENSITY
    assert (config.minimum_speakers, config.maximum_speakers) == (0, 20)
    assert config.session
    assert check(PLAIN, SERVED).session != config.session


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"encoding": None}, "ENCODING_INVALID", "audio_format.encoding"),
        *(
            (
                {"sample_rate_hertz": rate},
                "SAMPLE_RATE_INVALID",
                "audio_format.sample_rate_hertz",
            )
            for rate in (0, -1, 7, 7999, 48_001, 2**31 - 1, -(2**31))
        ),
        *(
            ({"channel_count": count}, "CHANNEL_COUNT_INVALID", "audio_format.channel_count")
            for count in (-1, 33, 65_535)
        ),
        *(
            ({"channel_count": 2, "channel": channel}, "CHANNEL_INVALID", "audio_format.channel")
            for channel in (-1, 2)
        ),
        ({"latency_mode": None}, "LATENCY_MODE_INVALID", "latency_mode"),
        ({"minimum_speakers": -1}, "SPEAKER_COUNT_INVALID", "minimum_speakers"),
        ({"maximum_speakers": 21}, "SPEAKER_COUNT_INVALID", "maximum_speakers"),
        (
            {"minimum_speakers": 3, "maximum_speakers": 2},
            "SPEAKER_COUNT_INVALID",
            "minimum_speakers",
        ),
        ({"session": "a b"}, "SESSION_INVALID", "session"),
        ({"session": "a\n"}, "SESSION_INVALID", "session"),
        ({"session": "a" * 129}, "SESSION_INVALID", "session"),
    ],
)
def test_what_is_never_allowed_is_invalid(fields: dict[str, Any], reason: str, field: str) -> None:
    """I3, I4 and the other fields: INVALID_ARGUMENT with reason and path."""
    error = refusal(**fields)
    assert isinstance(error, InvalidInput)
    assert (error.reason, error.field) == (reason, f"config.{field}")


def test_what_is_not_served_says_so() -> None:
    """UNIMPLEMENTED, never ignored in silence: a token, where there is no key to open it."""
    error = refusal(resume_token=b"token")
    assert isinstance(error, NotServed)
    assert (error.reason, error.field) == ("NOT_YET_SERVED", "config.resume_token")


RESUMPTION = Resumption(
    "meeting", "sha256:" + "0" * 64, StreamDiarizer(manifest()).snapshot(LEAST_CONTEXT_SAMPLES)
)


@pytest.mark.parametrize("session", ["", "meeting"])
def test_a_resumed_stream_keeps_its_session(session: str) -> None:
    """Named again or not."""
    request = replace(PLAIN, resume_token=b"token", session=session)
    config = check(request, SERVED, RESUMPTION)
    assert config.session == "meeting"
    assert config.resumption is RESUMPTION
    assert check(PLAIN, SERVED).resumption is None


@pytest.mark.parametrize("session", ["other", "Meeting", "a b"])
def test_a_token_of_another_session_is_refused(session: str) -> None:
    """Nobody means two sessions."""
    with pytest.raises(InvalidInput) as caught:
        check(replace(PLAIN, resume_token=b"token", session=session), SERVED, RESUMPTION)
    assert (caught.value.reason, caught.value.field) == ("SESSION_MISMATCH", "config.session")


def test_a_token_that_nobody_read_is_never_ignored() -> None:
    """A server that opens none says so: a timeline must not begin anew in silence."""
    error = refusal(resume_token=b"token")
    assert isinstance(error, NotServed)
    assert error.field == "config.resume_token"


def test_a_request_shows_no_token() -> None:
    """A token is as good as what it holds."""
    assert "token" not in repr(replace(PLAIN, resume_token=b"opaque"))
    assert "opaque" not in repr(replace(PLAIN, resume_token=b"opaque"))


def test_a_mode_that_the_model_lacks_is_not_served() -> None:
    """A windowed model may have one mode; where none is asked for, that one is served."""
    agent_only = replace(SERVED, hop_samples={LatencyMode.AGENT: 1280})
    assert check(PLAIN, agent_only).latency_mode is LatencyMode.AGENT
    with pytest.raises(NotServed):
        check(replace(PLAIN, latency_mode="density"), agent_only)


@pytest.mark.parametrize(
    "selector",
    [
        ByChannel("models/diarizer/channels/stable"),
        ByVersion("models/diarizer/versions/1.4.0"),
        ByRange("models/diarizer", ">=1.2.0,<2.0.0"),
        ByRange("models/diarizer", "=1.4.0"),
        ByRange("models/diarizer", ">1.4.0-rc.1, <=1.4.0"),
    ],
)
def test_what_is_served_can_be_chosen(selector: Selector) -> None:
    """By channel, version and range."""
    assert check(replace(PLAIN, selector=selector), SERVED).session


@pytest.mark.parametrize(
    "selector",
    [
        ByChannel("models/diarizer/channels/next"),
        ByChannel("models/other/channels/stable"),
        ByVersion("models/diarizer/versions/1.4.1"),
        ByVersion("models/diarizer/versions/1.4.0+build"),
        ByRange("models/diarizer", "<1.4.0"),
        ByRange("models/diarizer", ">=1.0.0,>1.4.0"),
        ByRange("models/other", ">=1.0.0"),
    ],
)
def test_what_is_not_served_is_not_found(selector: Selector) -> None:
    """The error says what is served."""
    error = refusal(selector=selector)
    assert isinstance(error, NotFound)
    assert "models/diarizer/versions/1.4.0" in error.message


@pytest.mark.parametrize(
    ("selector", "field"),
    [
        (ByChannel("stable"), "channel"),
        (ByChannel("models/diarizer/channels/stable\n"), "channel"),
        (ByChannel("models/../channels/stable"), "channel"),
        (ByVersion("models/diarizer/versions/1.4"), "version"),
        (ByVersion("models/diarizer/versions/01.4.0"), "version"),
        (ByVersion("models/diarizer/versions/1.4.0/x"), "version"),
        (ByRange("diarizer", ">=1.0.0"), "semver_range.model"),
        (ByRange("models/diarizer", ""), "semver_range.range"),
        (ByRange("models/diarizer", "1.4.0"), "semver_range.range"),
        (ByRange("models/diarizer", "~1.4.0"), "semver_range.range"),
        (ByRange("models/diarizer", ">=1.4"), "semver_range.range"),
        (ByRange("models/diarizer", ",".join([">=1.0.0"] * 9)), "semver_range.range"),
    ],
)
def test_names_are_parsed_strictly(selector: Selector, field: str) -> None:
    """What is no name is INVALID_ARGUMENT, not merely not found."""
    error = refusal(selector=selector)
    assert isinstance(error, InvalidInput)
    assert error.field == f"config.model.{field}"


@pytest.mark.parametrize("comparators", [">=01.0.0", ">=1.2.x", ">=1.4", "", "~1.0.0"])
def test_a_bad_range_is_a_bad_range(comparators: str) -> None:
    """Whatever is wrong with it, the reason names the range."""
    error = refusal(selector=ByRange("models/diarizer", comparators))
    assert isinstance(error, InvalidInput)
    assert error.reason == "SEMVER_RANGE_INVALID"


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_text_crashes_the_check(name: str, comparators: str) -> None:
    """Whatever a client writes, the answer is an error of the tree."""
    for selector in (ByChannel(name), ByVersion(name), ByRange(name, comparators)):
        refusal(selector=selector)
    if not name.isascii():
        refusal(session=name)
