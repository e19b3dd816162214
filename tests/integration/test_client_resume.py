"""A conversation outlives its streams: against servers that go wrong as a test says."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

import grpc
import pytest

from tests.fakes.simulated_streams import (
    CONTEXT,
    FRAME,
    FRAME_BYTES,
    HOP,
    HORIZON,
    TOKEN_EVERY,
    Call,
    SimulatedServer,
    refused,
    simulated,
    spoken,
)
from voiceflow.client import (
    NO_RETRY,
    AudioFormat,
    Begin,
    DiarizationClient,
    Encoding,
    Event,
    Flush,
    GoAway,
    Resumed,
    RetryPolicy,
    StreamConfig,
    Summary,
    Timeline,
    Update,
    conversation,
    diarization,
)
from voiceflow.client.tape import Tape
from voiceflow.errors import (
    InvalidInput,
    LimitExceeded,
    Overloaded,
    Unauthenticated,
    Unavailable,
    VoiceFlowError,
)

CONFIG = StreamConfig(AudioFormat(Encoding.PCM16, 16_000))
AUDIO = spoken((0, 20), (1, 90), (2, 60), (3, 30), (0, 15), (4, 12), (2, 70), (1, 55), (0, 30))
FRAMES = len(AUDIO) // FRAME_BYTES
SOON = RetryPolicy(3, 0.001, 0.01, resume_seconds=30.0)
SHORT = replace(SOON, resume_seconds=0.3)
GONE = Unavailable("restarting", reason="DRAINING")


async def pieces(audio: bytes = AUDIO, frames: int = 3) -> AsyncIterator[bytes]:
    """Audio in messages of so many frames."""
    size = frames * FRAME_BYTES
    for at in range(0, len(audio), size):
        yield audio[at : at + size]


async def diarized(
    address: str,
    audio: AsyncIterator[Any] | None = None,
    *,
    retry: RetryPolicy = SOON,
    ahead_seconds: float = 30.0,
    kept_seconds: float = 120.0,
    **options: Any,
) -> list[Event]:
    """A whole conversation."""
    async with DiarizationClient(
        address, retry=retry, ahead_seconds=ahead_seconds, kept_seconds=kept_seconds
    ) as client:
        return [event async for event in client.diarize(audio or pieces(), CONFIG, **options)]


def news(events: Sequence[Event]) -> list[Event]:
    """What is told of the audio, without what depends on the streams."""
    return [
        replace(event, resume_token=b"") if isinstance(event, Update) else event
        for event in events
        if not isinstance(event, Begin | Resumed | GoAway | Summary)
    ]


@pytest.fixture
async def uncut() -> list[Event]:
    """The conversation without any fault."""
    async with simulated(Call()) as (_, address):
        return await diarized(address)


def check(events: list[Event], uncut: list[Event], streams: int) -> None:
    """The conversation has everything that an uncut one has, once, and is complete."""
    assert news(events) == news(uncut)
    assert sum(isinstance(event, Resumed) for event in events) == streams - 1
    timeline = Timeline()
    for event in events:
        timeline.add(event)
    assert timeline.final_until_samples == FRAMES * FRAME
    assert timeline.summary is not None
    assert timeline.summary.complete


@pytest.mark.parametrize("cut_at", [16, 40, 80, 136, 240, FRAMES - 5])
@pytest.mark.parametrize(
    "cut_by",
    [
        (grpc.StatusCode.UNAVAILABLE, "Socket closed"),
        (grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2"),
        (grpc.StatusCode.CANCELLED, "Received RST_STREAM with error code 8"),
        (grpc.StatusCode.UNKNOWN, "Stream removed"),
        None,
    ],
    ids=["unavailable", "reset", "cancelled", "removed", "silence"],
)
async def test_a_stream_that_is_cut_goes_on(
    uncut: list[Event], cut_at: int, cut_by: tuple[grpc.StatusCode, str] | None
) -> None:
    """Wherever, and however: the caller gets every turn, event and region once."""
    async with simulated(Call(cut_at=cut_at, cut_by=cut_by), Call()) as (server, address):
        ends = cut_at + HOP > FRAMES
        audio = pieces() if ends else waiting_pieces(server, 2, cut_at + HOP)
        check(await diarized(address, audio), uncut, streams=2)
    first, second = server.calls
    assert second.config.session == "simulated"
    assert bool(second.config.resume_token) is (cut_at >= TOKEN_EVERY + HORIZON)
    assert first.config.session == ""


async def test_a_stream_may_be_cut_again_and_again(uncut: list[Event]) -> None:
    """Each time it goes on from the newest token, and hears no more than it needs of what was."""
    cuts = [Call(cut_at=at) for at in (96, 100, 104, 200, 280, 281, 350)]
    async with simulated(*cuts, Call()) as (server, address):
        check(await diarized(address), uncut, streams=len(cuts) + 1)
    assert all(call.config.resume_token for call in server.calls[1:])


@pytest.mark.parametrize("refusals", [0, 1, 5])
async def test_a_stream_that_is_told_to_go_goes_on_elsewhere(
    uncut: list[Event], refusals: int
) -> None:
    """It stays with the old stream until another one takes it, and leaves it then."""
    away = Call(go_away_at=120)
    elsewhere = [Call(refuse=GONE) for _ in range(refusals)]
    async with simulated(away, *elsewhere, Call()) as (server, address):
        audio = pieces_until_left(away, waiting_pieces(server, refusals + 2))
        check(await diarized(address, audio), uncut, streams=2)
    assert server.calls[-1].config.resume_token
    assert not away.finish
    assert server.calls[-1].finish


async def test_the_old_stream_is_told_of_until_the_new_one_has_caught_up(
    uncut: list[Event],
) -> None:
    """However long that takes, nobody waits for what the old one has computed."""
    heeded, told_far = asyncio.Event(), asyncio.Event()
    away, elsewhere = Call(go_away_at=120), Call(heeds_after=heeded)

    async def audio() -> AsyncIterator[bytes]:
        taken = 0
        async for piece in waiting_pieces(server, 2):
            yield piece
            taken += len(piece)
            if taken >= 330 * FRAME_BYTES and not heeded.is_set():
                await told_far.wait()
                heeded.set()
                await away.over.wait()

    async with (
        asyncio.timeout(30),
        simulated(away, elsewhere) as (server, address),
        DiarizationClient(address, retry=SOON) as client,
    ):
        events = []
        async for event in client.diarize(audio(), CONFIG):
            events.append(event)
            if isinstance(event, Update) and event.covered_samples >= 312 * FRAME:
                assert told_far.is_set() or not any(isinstance(one, Resumed) for one in events)
                told_far.set()
    check(events, uncut, streams=2)
    assert not away.finish


async def test_where_the_old_stream_ends_first_the_new_one_goes_on_as_it_is(
    uncut: list[Event],
) -> None:
    """It hears already what another one would have to hear again."""
    heeded = asyncio.Event()
    away, elsewhere = Call(go_away_at=120, cut_at=240), Call(heeds_after=heeded)
    async with (
        asyncio.timeout(30),
        simulated(away, elsewhere) as (server, address),
        DiarizationClient(address, retry=SOON) as client,
    ):
        events = []
        async for event in client.diarize(waiting_pieces(server, 2), CONFIG):
            events.append(event)
            if isinstance(event, Resumed):
                heeded.set()
    check(events, uncut, streams=2)
    assert len(server.calls) == 2


async def test_a_stream_that_does_not_catch_up_is_left_for_another(
    uncut: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile a fast source waits, and the old stream goes on."""
    monkeypatch.setattr(conversation, "_CATCH_UP_SECONDS", 0.1)
    away, mute = Call(go_away_at=120), Call(heeds_after=asyncio.Event())
    async with simulated(away, mute, Call()) as (server, address):
        audio = pieces_until_left(away, waiting_pieces(server, 3))
        check(await diarized(address, audio), uncut, streams=2)
    assert not mute.heard


async def test_a_source_that_is_faster_than_speech_waits_for_a_stream_to_catch_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or else the old stream had heard all of it before."""
    monkeypatch.setattr(conversation, "_CATCH_UP_SECONDS", 2.0)
    away, mute = Call(go_away_at=120), Call(heeds_after=asyncio.Event())

    async def audio() -> AsyncIterator[bytes]:
        async for piece in waiting_pieces(server, 2):
            yield piece
        async for piece in pieces(AUDIO * 8):
            yield piece

    async with simulated(away, mute, Call()) as (server, address):
        events = await diarized(address, audio())
    assert sum(isinstance(event, Resumed) for event in events) == 1
    assert not away.finish


async def waiting_pieces(
    server: SimulatedServer, calls: int, frames: int = FRAMES // 2
) -> AsyncIterator[bytes]:
    """Audio that stops somewhere until so many calls have come.

    Replies are lost where a stream is cut while it is written to; here they are not.
    """
    async for piece in pieces(AUDIO[: frames * FRAME_BYTES]):
        yield piece
    await server.called(calls)
    async for piece in pieces(AUDIO[frames * FRAME_BYTES :]):
        yield piece


async def pieces_until_left(call: Call, audio: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Audio whose last piece waits until a call is over: it cannot end as one that was whole."""
    last = b""
    async for piece in audio:
        if last:
            yield last
        last = piece
    await asyncio.wait_for(call.over.wait(), 60)
    yield last


async def test_a_stream_that_ends_before_another_takes_it_is_still_told_whole(
    uncut: list[Event],
) -> None:
    """The server makes final what it has; the rest goes on from the token that it gave before."""
    away = Call(go_away_at=120, end_at=160)
    async with simulated(away, Call(mute=True), Call()) as (server, address):
        events = await diarized(address, waiting_pieces(server, 3, 168))
    assert len(server.calls) == 3
    timeline, whole = Timeline(), Timeline()
    for event in events:
        timeline.add(event)
    for event in uncut:
        whole.add(event)
    assert timeline.regions() == whole.regions()
    assert timeline.turns() == whole.turns()
    assert sum(isinstance(event, Summary) for event in events) == 1
    assert timeline.summary is not None
    assert timeline.summary.complete


async def test_a_server_without_tokens_ends_as_it_always_did() -> None:
    """What it told is final, and its summary says that it is not complete."""
    call = Call(tokens=False, go_away_at=120, go_away_token=False, end_at=160)

    async def audio() -> AsyncIterator[bytes]:
        yield AUDIO[: 160 * FRAME_BYTES]
        # There would be more, but gRPC may lose the last replies when a write fails.
        await asyncio.Event().wait()

    async with simulated(call) as (server, address):
        events = await diarized(address, audio(), kept_seconds=0.5)
    last = events[-1]
    assert isinstance(last, Summary)
    assert not last.complete
    assert len(server.calls) == 1


async def test_a_server_without_tokens_is_begun_anew_while_all_audio_is_there(
    uncut: list[Event],
) -> None:
    """From the beginning, as the same conversation."""
    async with simulated(Call(tokens=False, cut_at=200), Call(tokens=False)) as (server, address):
        check(await diarized(address), uncut, streams=2)
    assert bytes(server.calls[1].heard) == AUDIO
    assert not server.calls[1].config.resume_token


@pytest.mark.parametrize(
    "reason", ["RESUME_TOKEN_INVALID", "RESUME_TOKEN_EXPIRED", "NOT_YET_SERVED"]
)
async def test_a_token_that_is_refused_early_costs_nothing(uncut: list[Event], reason: str) -> None:
    """All audio is still there, so the conversation is begun anew."""
    async with simulated(Call(cut_at=72), Call(refuse=refused(reason)), Call()) as (
        server,
        address,
    ):
        audio = waiting_pieces(server, 2, 72)
        check(await diarized(address, audio), uncut, streams=2)
    assert [bool(call.config.resume_token) for call in server.calls] == [False, True, False]
    assert bytes(server.calls[2].heard) == AUDIO


@pytest.mark.parametrize("reason", ["RESUME_TOKEN_INVALID", "RESUME_TOKEN_EXPIRED"])
async def test_a_token_that_is_refused_late_is_an_error(reason: str) -> None:
    """At once, with the server's reason; what was final was told."""
    async with simulated(Call(cut_at=240), Call(refuse=refused(reason))) as (server, address):
        events, error = await failing(address, audio=waiting_pieces(server, 2, 240))
    assert isinstance(error, InvalidInput)
    assert error.reason == reason
    assert len(server.calls) == 2
    told = [event for event in events if isinstance(event, Update)]
    assert told[-1].final_until_samples == (240 - HORIZON) * FRAME


async def failing(address: str, **options: Any) -> tuple[list[Event], VoiceFlowError]:
    """What came before a conversation failed, and how it did."""
    events: list[Event] = []
    audio = options.pop("audio", None) or pieces()
    async with DiarizationClient(address, **{"retry": SOON, **options}) as client:
        try:
            async for event in client.diarize(audio, CONFIG):
                events.append(event)  # noqa: PERF401 - kept though it fails
        except VoiceFlowError as error:
            return events, error
    raise AssertionError("the conversation has ended well")


@pytest.mark.parametrize(
    "refusal", [GONE, Overloaded("full", reason="STREAMS_FULL", retry_after_seconds=0.001)]
)
async def test_endless_refusals_are_an_error_in_the_end(refusal: VoiceFlowError) -> None:
    """It says what was lost, how long it was tried, and what the server said last."""
    async with simulated(Call(cut_at=120), Call(refuse=refusal)) as (server, address):
        _, error = await failing(address, retry=SHORT)
    assert isinstance(error, Unavailable)
    assert error.reason == "STREAM_NOT_RESUMED"
    assert "0.3 s" in error.message
    assert error.message.startswith("the stream was lost (")
    assert refusal.message in error.message
    assert len(server.calls) > 3


async def test_a_server_that_takes_a_stream_and_loses_it_for_ever_is_an_error_in_the_end() -> None:
    """Only what gets further counts as going on."""
    async with simulated(Call(cut_at=120)) as (server, address):
        _, error = await failing(address, retry=SHORT)
    assert error.reason == "STREAM_NOT_RESUMED"
    assert 3 < len(server.calls) < 300


async def test_patience_begins_anew_when_a_conversation_has_gone_on(uncut: list[Event]) -> None:
    """It is for each loss, however long the conversation is."""

    async def longer_than_patience() -> AsyncIterator[bytes]:
        async for piece in pieces(AUDIO[: 200 * FRAME_BYTES]):
            yield piece
        await asyncio.sleep(SHORT.resume_seconds)
        async for piece in pieces(AUDIO[200 * FRAME_BYTES :]):
            yield piece

    async with simulated(Call(cut_at=96), Call(cut_at=280), Call()) as (_, address):
        check(await diarized(address, longer_than_patience(), retry=SHORT), uncut, streams=3)


async def test_the_first_try_after_a_loss_is_made_at_once(uncut: list[Event]) -> None:
    """Each time that the conversation has gone on: with these pauses there would be no second."""
    never = RetryPolicy(3, 1e9, 1e9, resume_seconds=30.0)
    async with simulated(Call(cut_at=96), Call(cut_at=200), Call()) as (_, address):
        check(await diarized(address, retry=never), uncut, streams=3)


async def test_a_server_that_never_begins_is_an_error_in_the_end() -> None:
    """Nothing is waited for longer than the time there is."""
    async with simulated(Call(cut_at=120), Call(mute=True)) as (server, address):
        _, error = await failing(address, retry=SHORT)
    assert error.reason == "STREAM_NOT_RESUMED"
    assert len(server.calls) == 2


@pytest.mark.parametrize(
    "refusal",
    [
        Unauthenticated("who are you", reason="CREDENTIALS_EXPIRED"),
        LimitExceeded("too much", reason="SLOW_READER"),
        InvalidInput("no such rate", reason="SAMPLE_RATE_INVALID"),
    ],
)
async def test_what_will_not_pass_by_itself_is_an_error_at_once(refusal: VoiceFlowError) -> None:
    """As the server says it."""
    async with simulated(Call(cut_at=120), Call(refuse=refusal)) as (server, address):
        _, error = await failing(address)
    assert (type(error), error.reason) == (type(refusal), refusal.reason)
    assert len(server.calls) == 2


async def test_an_error_of_the_server_is_never_a_cut() -> None:
    """What it says of this stream would only come again."""
    call = Call(cut_at=120, cut_by=(grpc.StatusCode.INTERNAL, "the model failed"))
    async with simulated(call) as (server, address):
        # What is written to a stream that ends may cost its status (see `fate`).
        _, error = await failing(address, audio=resting_pieces(128))
    assert error.reason == "INTERNAL"
    assert len(server.calls) == 1


FAILING = Call(
    go_away_at=112,
    go_away_reason="MODEL_FAILED",
    cut_at=120,
    cut_by=(grpc.StatusCode.INTERNAL, "the model failed"),
)
"""Its model does not go on; the server says so first, and gives a token."""


async def test_a_stream_that_its_model_fails_goes_on_elsewhere(uncut: list[Event]) -> None:
    """Also where the error is there before another stream is."""
    async with simulated(replace(FAILING), Call(mute=True), Call()) as (server, address):
        check(await diarized(address, waiting_pieces(server, 2, 114)), uncut, streams=2)
    assert server.calls[2].config.resume_token


async def test_audio_that_every_model_fails_is_an_error() -> None:
    """That of the server, as soon as a stream that was resumed got no further."""
    async with simulated(*(replace(FAILING) for _ in range(100))) as (server, address):
        _, error = await failing(address)
    assert error.reason == "INTERNAL"
    assert 1 < len(server.calls) < 20


async def test_servers_that_send_a_stream_on_and_on_are_asked_less_and_less_often() -> None:
    """Where it gets no further, each time after a longer pause."""
    slower = RetryPolicy(3, 0.05, 100.0, resume_seconds=30.0)
    endless = [Call(go_away_at=0) for _ in range(10_000)]
    with pytest.raises(TimeoutError):
        async with simulated(*endless) as (server, address), asyncio.timeout(2):
            await diarized(address, resting_pieces(), retry=slower)
    assert 1 < len(server.calls) < 60


async def resting_pieces(frames: int = 1) -> AsyncIterator[bytes]:
    """Audio of which no more comes."""
    yield AUDIO[: frames * FRAME_BYTES]
    await asyncio.Event().wait()


@pytest.mark.parametrize("cut_at", [0, 120])
@pytest.mark.parametrize("retry", [NO_RETRY, SOON])
async def test_a_caller_may_forbid_it(retry: RetryPolicy, cut_at: int) -> None:
    """Then a stream that is cut is an error, and nothing is kept for another one."""
    async with simulated(Call(cut_at=cut_at), Call()) as (server, address):
        with pytest.raises(Unavailable):
            await diarized(address, retry=retry, resume=retry is NO_RETRY)
    assert len(server.calls) == 1


@pytest.mark.parametrize("needs_from", [CONTEXT * 1000, 0, None])
async def test_a_server_that_wants_what_is_not_kept_is_refused(
    uncut: list[Event], needs_from: int | None
) -> None:
    """Audio from before the context that was named, or from after the end of all."""
    again = Call(needs_from=needs_from)
    async with simulated(Call(cut_at=240), again) as (_, address):
        if needs_from is None:
            check(await diarized(address), uncut, streams=2)
            return
        _, error = await failing(address)
    assert error.reason == "RESUME_IMPOSSIBLE"


async def test_a_server_that_ignores_the_token_is_refused() -> None:
    """It would begin at 0 with what it hears from the middle."""
    async with simulated(Call(cut_at=240), Call(ignores_token=True)) as (_, address):
        _, error = await failing(address)
    assert error.reason == "RESUME_IMPOSSIBLE"


async def test_flushes_of_what_is_final_are_not_sent_again() -> None:
    """Though their audio is."""

    async def flushed(server: SimulatedServer) -> AsyncIterator[bytes | Flush]:
        async for piece in pieces(AUDIO[: 80 * FRAME_BYTES]):
            yield piece
        yield Flush()
        async for piece in pieces(AUDIO[80 * FRAME_BYTES : 170 * FRAME_BYTES]):
            yield piece
        await server.called(2)
        async for piece in pieces(AUDIO[170 * FRAME_BYTES :]):
            yield piece

    async with simulated(Call(cut_at=160), Call()) as (server, address):
        await diarized(address, flushed(server))
    assert [call.flushes for call in server.calls] == [[80], []]
    assert len(server.calls[1].heard) >= len(AUDIO) - 80 * FRAME_BYTES


async def test_a_stream_that_was_resumed_may_be_told_to_go_at_once(uncut: list[Event]) -> None:
    """Before it has said anything: its token goes on from where it was resumed."""
    away = Call(go_away_at=0)
    async with simulated(Call(cut_at=160), away, Call()) as (server, address):
        audio = pieces_until_left(away, waiting_pieces(server, 3))
        check(await diarized(address, audio), uncut, streams=3)
    assert server.calls[2].config.resume_token


async def test_a_server_that_wants_more_kept_than_the_one_before_can_be_lost_at_once(
    uncut: list[Event],
) -> None:
    """Its token needs no audio from before what that of the other one needed."""
    patient = Call(context=4 * CONTEXT, go_away_at=0, cut_at=240)
    async with simulated(Call(cut_at=232), patient, Call()) as (_, address):
        check(await diarized(address), uncut, streams=3)


async def test_every_address_of_a_target_is_asked_in_turn(uncut: list[Event]) -> None:
    """Both when a stream begins and when it goes on: one that refuses for ever is no hindrance."""
    async with (
        simulated(Call(refuse=GONE)) as (refusing, first),
        simulated(Call(cut_at=120), Call(cut_at=200), Call()) as (serving, second),
    ):
        check(await diarized(f"ipv4:{first},{second}"), uncut, streams=3)
    assert len(serving.calls) == 3
    assert refusing.calls


@pytest.mark.parametrize("frame", [60, 110, 200])
async def test_flushes_are_sent_again_where_they_were(frame: int) -> None:
    """Those after what the token has as final; what they made final is told once."""

    async def flushed() -> AsyncIterator[bytes | Flush]:
        async for piece in pieces(AUDIO[: frame * FRAME_BYTES]):
            yield piece
        yield Flush()
        async for piece in pieces(AUDIO[frame * FRAME_BYTES :]):
            yield piece

    async with simulated(Call()) as (_, address):
        whole = await diarized(address, flushed())
    cut_at = frame + 1
    async with simulated(Call(cut_at=cut_at), Call()) as (server, address):
        events = await diarized(address, flushed())
    timelines = [Timeline(), Timeline()]
    for timeline, told in zip(timelines, (whole, events), strict=True):
        for event in told:
            timeline.add(event)
    assert timelines[0].regions() == timelines[1].regions()
    assert timelines[0].turns() == timelines[1].turns()
    assert server.calls[0].flushes == [frame]


async def test_a_source_that_ends_meanwhile_is_finished_on_the_new_stream(
    uncut: list[Event],
) -> None:
    """All that it gave is heard there, and the score is asked for once."""
    asked = 0

    def score() -> float:
        nonlocal asked
        asked += 1
        return 0.75

    cut = Call(cut_at=FRAMES)  # after `finish` was heard, before the summary
    async with simulated(cut, Call(refuse=GONE), Call()) as (server, address):
        check(await diarized(address, score=score), uncut, streams=2)
    assert cut.finish is not None
    assert server.calls[-1].finish is not None
    assert cut.finish.score == server.calls[-1].finish.score == 0.75
    assert asked == 1


async def test_a_source_that_fails_meanwhile_is_the_error() -> None:
    """What the source raised ends the search for a server."""
    asked = asyncio.Event()

    async def broken(server: SimulatedServer) -> AsyncIterator[bytes]:
        async for piece in pieces(AUDIO[: 120 * FRAME_BYTES]):
            yield piece
        asked.set()
        await server.called(3)
        raise OSError("unplugged")

    cut = Call(cut_at=120, cut_after=asked)
    async with simulated(cut, Call(refuse=GONE)) as (server, address):
        with pytest.raises(OSError, match="unplugged"):
            await diarized(address, broken(server))


@pytest.mark.parametrize("value", [None, -2.5])
async def test_a_score_is_sent_with_the_end(value: float | None) -> None:
    """If there is one."""
    async with simulated(Call()) as (server, address):
        await diarized(address, score=lambda: value)
    finish = server.calls[0].finish
    assert finish is not None
    assert (finish.score if finish.HasField("score") else None) == value


async def test_a_score_that_is_no_number_is_refused() -> None:
    """Before it is sent."""
    async with simulated(Call()) as (server, address):
        with pytest.raises(InvalidInput) as caught:
            await diarized(address, score=lambda: math.nan)
    assert caught.value.reason == "SCORE_NOT_FINITE"
    assert len(server.calls) == 1


async def test_a_score_that_fails_is_the_error() -> None:
    """Whatever it raises, also what would be a lost stream."""

    def score() -> float:
        raise Unavailable("the judge is away", reason="JUDGE_AWAY")

    async with simulated(Call()) as (server, address):
        with pytest.raises(Unavailable) as caught:
            await diarized(address, score=score)
    assert caught.value.reason == "JUDGE_AWAY"
    assert len(server.calls) == 1


async def test_a_caller_that_leaves_meanwhile_leaves_nothing_behind() -> None:
    """Neither while another server is looked for, nor when it was found and not yet used."""
    away = Call(go_away_at=80)
    async with (
        simulated(away, Call()) as (server, address),
        DiarizationClient(address) as client,
        aclosing(client.diarize(waiting_pieces(server, 3), CONFIG)) as events,
    ):
        async for event in events:
            if isinstance(event, GoAway):
                await server.called(2)
                break
    async with simulated(Call(cut_at=80), Call(refuse=GONE)) as (server, address):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await diarized(address)


async def test_a_cancellation_that_a_call_has_lost_is_heeded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A task that is cancelled just as its call ends is told by gRPC how the call has ended."""
    begin, asked = DiarizationClient._open, asyncio.Event()

    async def losing(self: DiarizationClient, config: StreamConfig, token: bytes = b"") -> Any:
        if not token:
            return await begin(self, config)
        assert not asked.is_set(), "it is asked again"
        asked.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise grpc.aio.AioRpcError(
            grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "restarting"
        )

    monkeypatch.setattr(DiarizationClient, "_open", losing)
    async with simulated(Call(cut_at=120)) as (_, address):
        going_on = asyncio.create_task(diarized(address))
        await asked.wait()
        going_on.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going_on


@pytest.fixture
def kept_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much was kept, whenever some audio was added."""
    sizes: list[int] = []

    class Watched(Tape):
        def add(self, piece: bytes | Flush) -> None:
            super().add(piece)
            sizes.append(self.end - self.start)

    monkeypatch.setattr(diarization, "Tape", Watched)
    return sizes


@pytest.mark.parametrize(
    ("script", "meanwhile"),
    [([Call()], 0), ([Call(cut_at=120), Call()], 0), ([Call(go_away_at=120), Call()], 500)],
)
async def test_memory_does_not_grow_with_the_conversation(
    kept_bytes: list[int], script: list[Call], meanwhile: int
) -> None:
    """Also after it went on elsewhere: nothing from before the newest token's context is kept.

    Nor more than five seconds while another stream catches up.
    """
    async with simulated(*script) as (_, address):
        await diarized(address, pieces(AUDIO * 20), ahead_seconds=0.5)
    # What is ahead of the replies, with two hops and a piece, beside what the token needs.
    most = CONTEXT + TOKEN_EVERY + HORIZON + 50 + 3 * HOP + 3 + meanwhile
    assert max(kept_bytes) <= most * FRAME_BYTES


async def test_memory_is_bounded_where_a_server_gives_no_tokens(kept_bytes: list[int]) -> None:
    """As much is kept as the client allows; nothing, where the caller does not want to resume."""
    async with simulated(Call(tokens=False)) as (_, address):
        await diarized(address, pieces(AUDIO * 4), kept_seconds=1.0)
        assert max(kept_bytes) == 32_000
        kept_bytes.clear()
        await diarized(address, pieces(AUDIO), resume=False)
        assert max(kept_bytes) == 0
