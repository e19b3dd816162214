"""A conversation outlives its streams: with the real service, cut on the way to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

from tests.fakes.client_identity import BY_TOKEN, with_token
from tests.fakes.cutting_proxy import cutting_proxy
from tests.fakes.identity import token
from tests.fakes.models import Spoken, tones, write_stream_package
from tests.fakes.service import pcm16, running
from voiceflow.client import (
    AudioFormat,
    Begin,
    ClientIdentity,
    DiarizationClient,
    Encoding,
    Event,
    Flush,
    FrameActivity,
    GoAway,
    LatencyMode,
    Resumed,
    RetryPolicy,
    StreamConfig,
    Summary,
    Timeline,
    Update,
)
from voiceflow.errors import InvalidInput
from voiceflow.onnx import bind
from voiceflow.package import load_package
from voiceflow.pipeline.model import BoundModel

SECOND = 16_000
SAMPLES = tones(
    *(Spoken((2,), 3.0), Spoken((), 0.6), Spoken((8,), 3.2), Spoken((2, 8), 1.4)),
    *(Spoken((11,), 2.5), Spoken((), 0.5), Spoken((2,), 4.1), Spoken((8,), 1.9)),
    *(Spoken((5,), 3.3), Spoken((), 0.8), Spoken((11,), 2.2)),
)
LENGTH = len(SAMPLES)
PLAIN = AudioFormat(Encoding.PCM16, SECOND)
CONFIG = StreamConfig(PLAIN, send_activity=True, send_provisional_turns=True)
SOON = RetryPolicy(3, 0.001, 0.05, resume_seconds=30.0)
STEP_SECONDS = 0.48
"""A hop."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> BoundModel:
    """A small model that hears tones."""
    return bind(load_package(write_stream_package(tmp_path_factory.mktemp("package"))))


@pytest.fixture(scope="module")
def uncut(model: BoundModel) -> list[Event]:
    """The conversation, which nothing happens to."""
    return asyncio.run(read(model, CONFIG, []))


def encoded(audio_format: AudioFormat) -> bytes:
    """The conversation in a format."""
    samples = soxr.resample(SAMPLES, SECOND, audio_format.sample_rate_hertz).astype(np.float32)
    channels = np.repeat(samples[:, None], audio_format.channel_count, axis=1)
    if audio_format.encoding is Encoding.FLOAT32:
        return channels.astype("<f4").tobytes()
    return pcm16(channels)


class Reader:
    """Reads a conversation, and has its stream cut at places in the audio.

    Attributes:
        events: So far.
    """

    def __init__(
        self, config: StreamConfig, cuts: Sequence[float], cut: Callable[[], None]
    ) -> None:
        self.events: list[Event] = []
        self._config = config
        self._cuts = list(cuts)
        self._cut = cut
        self._is_cut = False
        self._seen = asyncio.Event()
        self._covered_seconds = 0.0

    async def read(self, client: DiarizationClient, flushes: Sequence[float] = ()) -> list[Event]:
        """The whole conversation."""
        async for event in client.diarize(self._pieces(list(flushes)), self._config):
            self.events.append(event)
            if isinstance(event, Resumed):
                self._is_cut = False
            if isinstance(event, Update):
                self._covered_seconds = event.covered_samples / SECOND
                self._seen.set()
                # What was on its way when the stream was cut is still read, and is no cause to cut.
                if not self._is_cut and self._cuts and self._covered_seconds >= self._cuts[0]:
                    self._is_cut = True
                    self._cuts.pop(0)
                    self._cut()
        return self.events

    async def _pieces(self, flushes: list[float]) -> AsyncIterator[bytes | Flush]:
        """Audio that runs ahead of what was covered by little: cuts fall where they are due."""
        data, audio_format = encoded(self._config.audio_format), self._config.audio_format
        size = audio_format.sample_rate_hertz // 10 * audio_format.frame_bytes
        for at in range(0, len(data), size):
            while audio_format.seconds(at) > self._covered_seconds + 3 * STEP_SECONDS:
                self._seen.clear()
                await self._seen.wait()
            if flushes and audio_format.seconds(at) >= flushes[0]:
                flushes.pop(0)
                yield Flush()
            yield data[at : at + size]


async def read(
    model: BoundModel,
    config: StreamConfig,
    cuts: Sequence[float],
    flushes: Sequence[float] = (),
    *,
    other: BoundModel | None = None,
    before: Callable[[], None] = lambda: None,
    identity: ClientIdentity | None = None,
    **settings: Any,
) -> list[Event]:
    """A conversation over a connection that is cut at some places.

    Args:
        model: That is served.
        config: Of the conversation.
        cuts: In seconds.
        flushes: Likewise.
        other: Of another server, which answers from the first cut on.
        before: Called before a cut.
        identity: Of the client.
        settings: Of the servers.
    """
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(60))
        _, first = await stack.enter_async_context(running(model, **settings))
        second = first
        if other is not None:
            _, second = await stack.enter_async_context(running(other, **settings))
        proxy, address = await stack.enter_async_context(cutting_proxy(first))
        client = DiarizationClient(address, retry=SOON, identity=identity)
        await stack.enter_async_context(client)

        def cut() -> None:
            before()
            proxy.upstream = second
            proxy.cut()

        events = await Reader(config, cuts, cut).read(client, flushes)
    assert sum(isinstance(event, Resumed) for event in events) == len(cuts)
    return events


def timeline_of(events: Sequence[Event]) -> Timeline:
    """The events put together: that refuses every gap and overlap."""
    timeline = Timeline()
    for event in events:
        timeline.add(event)
    return timeline


def news(events: Sequence[Event]) -> list[Event]:
    """What is told of the audio for good, to the precision that a token keeps."""
    return [
        replace(
            event,
            turns=tuple(
                replace(turn, confidence=round(turn.confidence, 2))
                for turn in event.turns
                if turn.final
            ),
            resume_token=b"",
            activity=None,
        )
        if isinstance(event, Update)
        else event
        for event in events[1:]
        if not isinstance(event, Resumed | GoAway | Summary)
    ]


def activity_of(events: Sequence[Event]) -> tuple[list[float], list[tuple[float, ...]]]:
    """All frames, one after the other: that they follow upon each other is checked."""
    speech: list[float] = []
    tracks: list[tuple[float, ...]] = []
    for event in events:
        if isinstance(event, Update) and isinstance(event.activity, FrameActivity):
            frame = event.activity
            if frame.speech:
                assert frame.speech_start_samples == len(speech) * 640
            if frame.tracks:
                assert frame.tracks_start_samples == len(tracks) * 640
            speech += frame.speech
            tracks += frame.tracks
    return speech, tracks


@pytest.mark.parametrize(
    ("mode", "cuts"),
    [
        (LatencyMode.DENSITY, [0.9]),  # before anything is final
        (LatencyMode.DENSITY, [2.5]),
        (LatencyMode.DENSITY, [11.0]),
        (LatencyMode.DENSITY, [22.9]),
        (LatencyMode.DENSITY, [3.0, 3.4, 3.9]),
        (LatencyMode.AGENT, [4.0, 9.0, 14.0, 19.0]),
    ],
)
async def test_a_conversation_that_is_cut_is_told_as_one_that_is_not(
    model: BoundModel, mode: LatencyMode, cuts: list[float]
) -> None:
    """Every region, final turn and event, in the updates that they belong in; activity as well."""
    config = replace(CONFIG, latency_mode=mode)
    uncut, cut = await read(model, config, []), await read(model, config, cuts)
    assert news(cut) == news(uncut)
    assert timeline_of(cut).talk_samples() == timeline_of(uncut).talk_samples()
    assert timeline_of(cut).final_until_samples == LENGTH
    for one, other in zip(activity_of(cut), activity_of(uncut), strict=True):
        np.testing.assert_allclose(np.array(one), np.array(other), atol=1e-3)
    summary, whole = cut[-1], uncut[-1]
    assert isinstance(summary, Summary)
    assert isinstance(whole, Summary)
    assert summary.complete
    assert [(one.speaker, one.talk_samples) for one in summary.speakers] == [
        (one.speaker, one.talk_samples) for one in whole.speakers
    ]


@pytest.mark.parametrize(
    "audio_format",
    [AudioFormat(Encoding.FLOAT32, 44_100, 2), AudioFormat(Encoding.PCM16, 8_000)],
    ids=["44100", "8000"],
)
async def test_any_rate_is_replayed_from_the_right_sample(
    model: BoundModel, audio_format: AudioFormat
) -> None:
    """Offsets count at 16 kHz, whatever is sent: borders lie within a frame of the uncut ones."""
    config = StreamConfig(audio_format)
    uncut = timeline_of(await read(model, config, []))
    cut = timeline_of(await read(model, config, [7.0, 15.0]))
    assert cut.final_until_samples == uncut.final_until_samples == LENGTH
    assert [region.speakers for region in cut.regions()] == [
        region.speakers for region in uncut.regions()
    ]
    for one, other in zip(cut.regions(), uncut.regions(), strict=True):
        assert abs(one.start_samples - other.start_samples) <= 640


async def test_flushes_are_made_good(model: BoundModel) -> None:
    """What a flush made final stays; the partition is exact, and the speakers are the same."""
    uncut = timeline_of(await read(model, CONFIG, [], [5.5, 12.2, 20.0]))
    cut = timeline_of(await read(model, CONFIG, [5.8, 12.0], [5.5, 12.2, 20.0]))
    assert cut.final_until_samples == LENGTH
    assert [region.speakers for region in cut.regions()] == [
        region.speakers for region in uncut.regions()
    ]


async def test_another_server_with_the_same_keys_goes_on(
    model: BoundModel, tmp_path: Path, uncut: list[Event]
) -> None:
    """Late in the conversation: only its token can have told it who is who."""
    who = with_token(tmp_path, "client", AUDIENCE)
    options: dict[str, Any] = {"identity": who, **BY_TOKEN, **NARROW}
    events = await read(model, CONFIG, [13.0], other=model, **options)
    assert news(events) == news(uncut)


async def test_another_version_in_the_same_space_goes_on(
    model: BoundModel, tmp_path: Path, uncut: list[Event]
) -> None:
    """Its frames are those of another model, its labels those of the token."""
    newer = write_stream_package(tmp_path / "newer", "1.1.0", state_space="tones-2")
    who = with_token(tmp_path, "client", AUDIENCE)
    other = bind(load_package(newer))
    events = await read(model, CONFIG, [13.0], other=other, identity=who, **BY_TOKEN)
    assert news(events) == news(uncut)
    (resumed,) = (event for event in events if isinstance(event, Resumed))
    assert resumed.begin.model_version.endswith("1.1.0")


async def test_another_space_keeps_labels_and_partition(
    model: BoundModel, tmp_path: Path, uncut: list[Event]
) -> None:
    """Voices are found again by who spoke when; nobody who was known gets a new label."""
    newer = write_stream_package(tmp_path / "newer", "2.0.0", embedding_space="tones-2")
    who = with_token(tmp_path, "client", AUDIENCE)
    other = bind(load_package(newer))
    events = await read(model, CONFIG, [13.0], other=other, identity=who, **BY_TOKEN)
    cut, whole = timeline_of(events), timeline_of(uncut)
    assert cut.final_until_samples == LENGTH
    assert cut.talk_samples().keys() == whole.talk_samples().keys()
    for speaker, talk in whole.talk_samples().items():
        assert abs(cut.talk_samples()[speaker] - talk) <= SECOND // 2


async def test_without_keys_an_early_loss_is_begun_anew(
    model: BoundModel, uncut: list[Event]
) -> None:
    """The other server cannot open the token; all audio is still there, so nothing is lost."""
    events = await read(model, CONFIG, [9.0], other=model)
    assert news(events) == news(uncut)
    (resumed,) = (event for event in events if isinstance(event, Resumed))
    assert resumed.begin.resumed_at_samples is None
    begin = events[0]
    assert isinstance(begin, Begin)
    assert resumed.begin.session == begin.session


async def test_without_keys_a_late_loss_is_an_error(model: BoundModel) -> None:
    """It says that the token does not open there."""
    with pytest.raises(InvalidInput) as caught:
        await read(model, CONFIG, [9.0], other=model, **NARROW)
    assert caught.value.reason == "RESUME_TOKEN_INVALID"


async def test_a_token_that_has_expired_is_an_error(model: BoundModel) -> None:
    """Its time is the server's setting."""
    with pytest.raises(InvalidInput) as caught:
        await read(model, CONFIG, [9.0], resume_valid_seconds=1e-3, **NARROW)
    assert caught.value.reason == "RESUME_TOKEN_EXPIRED"


async def test_the_token_of_somebody_else_is_an_error(model: BoundModel, tmp_path: Path) -> None:
    """Who has become another caller meanwhile cannot go on with what the first one said."""
    who = with_token(tmp_path, "client", AUDIENCE)
    assert who.token_file is not None
    other = token("spiffe://voiceflow.local/pod/dev", AUDIENCE)

    def become_another() -> None:
        assert who.token_file is not None
        who.token_file.write_text(other)

    with pytest.raises(InvalidInput) as caught:
        await read(model, CONFIG, [9.0], before=become_another, identity=who, **BY_TOKEN, **NARROW)
    assert caught.value.reason == "RESUME_TOKEN_INVALID"


AUDIENCE = "voiceflow-inference"
NARROW: dict[str, Any] = {"resume_context_seconds": 0.5}
"""So little audio is kept that the beginning soon is not."""
