"""One conversation over however many streams it takes.

It keeps the audio from a little before the newest token on. When its stream is cut, another one is
opened with that token, wherever the target leads, hears the kept audio again and goes on; the
caller notices a `Resumed`, and that it took a moment. When its stream is told to go, it stays with
it and lets the new one hear beside it: until the new one has caught up, or the old one ends.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from voiceflow.client.config import StreamConfig
from voiceflow.client.events import Begin, Event, GoAway, Resumed, Summary, Update
from voiceflow.client.retry import RetryPolicy, pause_before_resuming
from voiceflow.client.sending import Score, Sender
from voiceflow.client.source import Source
from voiceflow.client.stream import Stream, cut
from voiceflow.client.tape import Tape
from voiceflow.client.told import Told
from voiceflow.errors import Overloaded, Unavailable, VoiceFlowError

Reopen = Callable[[StreamConfig, bytes], Awaitable[Stream]]
"""Opens a stream that goes on with a token, or from the beginning; raises a `VoiceFlowError`."""


class Conversation:
    """Yields the events of a conversation, each once.

    Args:
        stream: The first one.
        config: Of it.
        source: The audio.
        tape: What the source keeps of it.
        reopen: Opens further streams.
        policy: How patiently; a stream that is cut stays cut where it has no `resume_seconds`.
        score: How well it went.
    """

    def __init__(
        self,
        stream: Stream,
        config: StreamConfig,
        *,
        source: Source,
        tape: Tape,
        reopen: Reopen,
        policy: RetryPolicy,
        score: Score | None,
    ) -> None:
        self._stream = stream
        self._config = replace(config, session=stream.begin.session)
        self._source = source
        self._tape = tape
        self._reopen = reopen
        self._policy = policy
        self._sender = Sender(stream, source, tape, score)
        self._told = Told(stream.begin)
        self._token: _Token | None = None
        self._tried: _Token | None = None
        self._final_until = 0
        self._moving: asyncio.Task[None] | None = None
        self._next: Stream | None = None  # hears what this one hears, and is not told of yet
        self._failures = 0
        self._give_up_at = math.inf
        self._kept_from = 0  # no token needs audio from before
        self._changes = 0  # of streams, since the conversation last went on
        self._model_fails = False  # as the stream has said

    async def events(self) -> AsyncGenerator[Event, None]:
        """Everything that there is to tell, from `Begin` to `Summary`.

        Raises:
            VoiceFlowError: What the server says, where the conversation cannot go on.
            Exception: What the source or the score has raised.
        """
        try:
            self._sender.begin(self._stream)
            yield self._stream.begin
            while True:
                try:
                    if self._moving is not None:  # a source that rests brings no reply
                        await self._stream.readable(self._moving)
                    if (other := self._found()) is not None:
                        yield await self._change_to(other)
                    event = await self._hear()
                except Unavailable as lost:
                    yield await self._change_to(await self._resume(lost))
                    continue
                if (news := self._tell(event)) is not None:
                    yield news
                if isinstance(event, Summary):
                    return
        finally:
            await self._close()

    # What comes.

    async def _hear(self) -> Event:
        """The next event of the stream.

        Raises:
            Unavailable: The stream is lost; another one may go on with it.
        """
        try:
            event = await self._stream.read()
        except VoiceFlowError as error:
            # Said once more where another stream got no further, it is about the audio.
            if self._model_fails and not self._changes and self._may_resume():
                raise cut(error.message) from error
            raise
        match event:
            case None:
                raise cut("the stream ended without a summary")
            case Update():
                self._stream.window.cover(event.covered_samples)
                self._final_until = event.final_until_samples
                self._keep_token(event.resume_token)
            case GoAway():
                self._keep_token(event.resume_token)
                self._model_fails = event.reason == _MODEL_FAILED
                self._look_elsewhere()
            case Summary(complete=False) if self._may_resume():
                raise cut("the server ended the stream before the conversation did")
            case _:
                pass
        return event

    def _tell(self, event: Event) -> Event | None:
        before = self._told.covered_samples, self._told.final_until_samples
        news = self._told.take(event)
        if (self._told.covered_samples, self._told.final_until_samples) != before:
            self._failures, self._give_up_at, self._changes = 0, math.inf, 0
        return news

    def _keep_token(self, value: bytes) -> None:
        context = self._stream.begin.resume_context_samples
        if not value or context is None:
            return
        audio_from = self._tape.place(max(0, self._final_until - context))
        audio_from = max(audio_from, self._kept_from)
        self._token = _Token(value, audio_from)
        needed = [token.audio_from for token in (self._token, self._tried) if token is not None]
        self._tape.drop_before(min(needed))

    # What goes on elsewhere.

    def _may_resume(self) -> bool:
        """Whether there is something to go on from."""
        if self._policy.resume_seconds <= 0:
            return False
        start = 0 if self._token is None else self._token.audio_from
        return self._tape.start <= start

    def _look_elsewhere(self) -> None:
        """Looks for another stream while this one goes on."""
        if self._moving is None and self._may_resume():
            self._moving = asyncio.create_task(self._move())

    async def _move(self) -> None:
        """Finds another stream, and has it catch up."""
        failures = self._changes
        refused: VoiceFlowError = cut("the stream was sent on before it went on")
        while True:
            if failures:
                pause = pause_before_resuming(self._policy, refused, failures, math.inf, _chance())
                await asyncio.sleep(pause or 0.0)
            try:
                self._next = await self._open()
                self._sender.hold()
                self._sender.begin(self._next)
                await self._catch_up(self._next)
            except VoiceFlowError as error:
                await self._drop_next()
                if not isinstance(error, Overloaded | Unavailable):
                    raise
                refused = error
                failures += 1
            else:
                return

    async def _catch_up(self, stream: Stream) -> None:
        """Waits until a stream has computed what the other one has told, as far as its hops go."""
        events = []
        covered, hop = 0, max(1, stream.begin.hop_samples)
        try:
            async with asyncio.timeout(_CATCH_UP_SECONDS):
                while covered + hop <= self._told.covered_samples:
                    await stream.readable()
                    event = await stream.read()
                    if event is None:
                        raise cut("the stream ended before it had caught up")
                    events.append(event)
                    if isinstance(event, Update):
                        covered = event.covered_samples
                        stream.window.cover(covered)
        except TimeoutError:
            raise cut(f"the stream did not catch up within {_CATCH_UP_SECONDS:g} s") from None
        finally:
            stream.put_back(events)

    def _found(self) -> Stream | None:
        """The stream that was looked for, once it has caught up."""
        if self._moving is None or not self._moving.done():
            return None
        moving, self._moving = self._moving, None
        # Refused for good: this stream may still go on to its end.
        return None if moving.exception() else self._next

    async def _stop_moving(self) -> None:
        if self._moving is not None:
            self._moving.cancel()
            await asyncio.gather(self._moving, return_exceptions=True)
            self._moving = None

    async def _drop_next(self) -> None:
        self._tried = None
        stream, self._next = self._next, None
        self._sender.release()
        if stream is not None:
            await stream.close()

    async def _resume(self, lost: Unavailable) -> Stream:
        """Another stream in the place of one that was lost."""
        await self._stream.close()
        await self._stop_moving()
        if self._next is not None:  # catches up as it is
            return self._next
        loop = asyncio.get_running_loop()
        self._give_up_at = min(self._give_up_at, loop.time() + self._policy.resume_seconds)
        refused: VoiceFlowError = lost
        while True:
            self._check(lost)
            if self._failures:
                left = self._give_up_at - loop.time()
                pause = pause_before_resuming(
                    self._policy, refused, self._failures, left, _chance()
                )
                if pause is None:
                    raise _given_up(lost, refused, self._policy) from refused
                await asyncio.sleep(pause)
                self._check(lost)
            self._failures += 1
            try:
                async with asyncio.timeout_at(self._give_up_at):
                    return await self._open()
            except TimeoutError:
                raise _given_up(lost, refused, self._policy) from None
            except (Overloaded, Unavailable) as error:
                refused = error
            except VoiceFlowError as error:
                if not _is_of_token(error) or self._tape.start > 0:
                    raise error from lost
                self._token, self._failures = None, 0  # all of it is there: from its beginning

    def _check(self, lost: Unavailable) -> None:
        """Raises what ends the conversation, whatever servers say."""
        if failure := self._sender.failure:
            raise failure
        if not self._may_resume():
            raise lost

    async def _open(self) -> Stream:
        """Asks once for a stream that goes on from the newest token."""
        self._tried = token = self._token  # what it needs stays on the tape until it goes on
        try:
            stream = await self._reopen(self._config, b"" if token is None else token.value)
        except BaseException:
            self._tried = None
            raise
        if token is None or self._fits(stream.begin):
            return stream
        self._tried = None
        await stream.close()
        raise VoiceFlowError(
            "the server does not go on from where its token says, or needs audio that is not kept",
            reason="RESUME_IMPOSSIBLE",
        )

    def _fits(self, begin: Begin) -> bool:
        start, at = begin.audio_start_samples, begin.resumed_at_samples
        if start is None or at is None:
            return False
        kept = self._tape.start <= self._tape.place(start) <= self._tape.end
        return kept and start <= at <= self._told.final_until_samples

    async def _change_to(self, stream: Stream) -> Resumed:
        await self._stream.close()
        self._kept_from = 0 if self._tried is None else self._tried.audio_from
        self._stream, self._tried = stream, None
        self._changes += 1
        self._model_fails = False
        self._final_until = stream.begin.resumed_at_samples or 0
        self._sender.lead(stream)
        if stream is self._next:
            self._next = None
        else:
            self._sender.begin(stream)
        return self._told.resume(stream.begin)

    async def _close(self) -> None:
        await self._stream.close()
        await self._stop_moving()
        await self._drop_next()
        await self._source.close()


@dataclass(frozen=True, slots=True)
class _Token:
    """Opens a stream that goes on.

    Attributes:
        value: Sealed.
        audio_from: Place on the tape from which it needs audio.
    """

    value: bytes
    audio_from: int


_MODEL_FAILED: Final = "MODEL_FAILED"
"""Why a stream is told to go that then ends with an error, which says what the model did."""

_CATCH_UP_SECONDS: Final = 10.0
"""Longer a stream that hears beside another one is not waited for."""

_TOKEN_REASONS: Final = frozenset({"RESUME_TOKEN_INVALID", "RESUME_TOKEN_EXPIRED"})
_NOT_SERVED: Final = ("NOT_YET_SERVED", "config.resume_token")


def _is_of_token(error: VoiceFlowError) -> bool:
    """Whether the token is what a server refuses."""
    return error.reason in _TOKEN_REASONS or (error.reason, error.field) == _NOT_SERVED


def _given_up(lost: Unavailable, refused: VoiceFlowError, policy: RetryPolicy) -> Unavailable:
    last = "" if refused is lost else f"; the last answer: {refused.message}"
    return Unavailable(
        f"the stream was lost ({lost.message}) and could not be resumed within"
        f" {policy.resume_seconds:g} s{last}",
        reason="STREAM_NOT_RESUMED",
    )


def _chance() -> float:
    return random.random()  # noqa: S311 - spreads load, keeps no secret
