"""One live stream between its client and its session: order of requests, and every way it ends.

A conversation ends with its Summary (after ``finish``, after half-close, or when its time is up),
with an error that its client is told, or by being cancelled, which is how deadlines and clients
that are gone appear here.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from time import monotonic_ns
from typing import Final

from voiceflow.artifact import SAMPLE_RATE_HERTZ
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.errors import InvalidInput, LimitExceeded, VoiceFlowError
from voiceflow.pipeline.snapshot import Snapshot
from voiceflow_inference import messages
from voiceflow_inference.batcher import ModelFailed
from voiceflow_inference.outbox import Outbox
from voiceflow_inference.requests import (
    RequestReader,
    check_audio_bytes,
    config_repeated,
    empty_request,
)
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.placing import How, Places
from voiceflow_inference.session import Reply, Session
from voiceflow_inference.stages import HopTimes, Stage


class Tokens:
    """The resume tokens of one stream.

    Args:
        session: The stream.
        context_samples: Audio before the token's place that the client keeps.
        make: Seals a snapshot of the stream, for the model of a digest.
    """

    def __init__(
        self, session: Session, context_samples: int, make: Callable[[str, Snapshot], bytes]
    ) -> None:
        self._session = session
        self._context_samples = context_samples
        self._make = make
        self._due_samples = 0

    def due(self, reply: Reply) -> bytes:
        """One that goes out with a reply, seldom enough; empty: none does."""
        result = reply.result
        if not result.final_regions or result.covered_samples < self._due_samples:
            return b""
        self._due_samples = result.covered_samples + _TOKEN_SAMPLES
        return self.now()

    def now(self) -> bytes:
        """One that goes on from the end of the final regions told so far."""
        return self._make(
            self._session.generation.pin.manifest_digest,
            self._session.snapshot(self._context_samples),
        )


class Conversation:
    """A live stream after it was admitted; a `Mover`.

    Args:
        reader: Of the requests after the config.
        outbox: Of the replies.
        session: What hears the audio.
        places: Where the stream is counted.
        tokens: For resuming it; None: this server gives none.
        leave_seconds: How long it may stay when it is told to go to another model.
        message_audio_bytes: Audio in one message at most.
        deadline_passed: Whether the client has stopped waiting.
        on_hop: Told of each hop once the transport took the last of its replies.
    """

    def __init__(
        self,
        *,
        reader: RequestReader[pb.DiarizeRequest],
        outbox: Outbox,
        session: Session,
        places: Places,
        tokens: Tokens | None,
        leave_seconds: float,
        message_audio_bytes: int,
        deadline_passed: Callable[[], bool],
        on_hop: Callable[[HopTimes], None] = lambda _times: None,
    ) -> None:
        self._reader = reader
        self._outbox = outbox
        self._session = session
        self._places = places
        self._tokens = tokens
        self._leave_seconds = leave_seconds
        self._message_audio_bytes = message_audio_bytes
        self._deadline_passed = deadline_passed
        self._on_hop = on_hop
        self._end: asyncio.TimerHandle | None = None
        self._all_told = False

    async def run(self, begin: pb.Begin) -> None:
        """Serves the stream from Begin to Summary.

        Raises:
            VoiceFlowError: The stream ended with an error; what was known before it has been sent.
        """
        failure: VoiceFlowError | None = None
        try:
            async with _together() as tasks:
                tasks.create_task(self._outbox.run())
                try:
                    self._put(pb.DiarizeResponse(begin=begin))
                    await self._listen(tasks)
                except ModelFailed as error:
                    failure = error
                    if self._tokens is not None:
                        self._send_away(0.0, "MODEL_FAILED")
                except VoiceFlowError as error:
                    failure = error
                self._outbox.close()
        finally:
            if self._end is not None:
                self._end.cancel()
        if failure is not None:
            raise failure

    def leave(self, to: Generation | None, how: How) -> None:
        """See `Mover`."""
        if to is None or how is How.TOLD:
            self.tell_to_leave(self._leave_seconds, "MODEL_REPLACED")
        else:
            self._session.leave_for(to, how)

    def tell_to_leave(self, seconds: float, reason: str = "DRAINING") -> None:
        """Says that the stream must go, and ends it in that time as if the client had half-closed.

        Once told, it stays told; the earliest end counts.
        """
        self._send_away(seconds, reason)
        loop = asyncio.get_running_loop()
        if self._end is None or loop.time() + seconds < self._end.when():
            if self._end is not None:
                self._end.cancel()
            self._end = loop.call_later(seconds, self._reader.interrupt)

    def _send_away(self, seconds: float, reason: str) -> None:
        if self._all_told:
            return
        token = b"" if self._tokens is None else self._tokens.now()
        go_away = pb.GoAway(
            time_left=messages.seconds(seconds), reason=reason, resume_token=self._sendable(token)
        )
        with suppress(LimitExceeded):  # a client that does not read must not keep others waiting
            self._put(pb.DiarizeResponse(go_away=go_away))

    async def _listen(self, tasks: asyncio.TaskGroup) -> None:
        complete = False
        while not complete and (request := await self._reader.next()) is not None:
            match request.WhichOneof("request"):
                case "audio":
                    check_audio_bytes(request.audio, self._message_audio_bytes)
                    heard = self._session.hear(request.audio, self._reader.arrival)
                    await self._send(heard, self._tokens)
                case "flush":
                    await self._send(self._session.flush(self._reader.arrival), self._tokens)
                case "finish":
                    self._score(request.finish)
                    complete = True
                case "config":
                    raise config_repeated()
                case _:
                    raise empty_request()
        # gRPC ends the requests of a stream whose deadline has passed as if the client had
        # half-closed, and only then cancels it.
        if self._deadline_passed():
            raise LimitExceeded("the deadline has passed", reason="DEADLINE_PASSED")

        watch = tasks.create_task(self._refuse_more())
        await self._send(self._session.finish(self._reader.arrival), None)
        self._all_told = True
        await asyncio.wait([watch], timeout=_CLOSING_SECONDS)
        if watch.done():
            watch.result()
        watch.cancel()
        summary = messages.summary(
            self._session.summary(complete=complete), self._session.generation.manifest
        )
        self._put(pb.DiarizeResponse(summary=summary))

    async def _send(self, replies: AsyncIterator[Reply], tokens: Tokens | None) -> None:
        async for reply in replies:
            if reply.moved is not None:
                self._places.repin(self, reply.moved.generation)
            token = b"" if tokens is None else tokens.due(reply)
            for message in messages.replies(reply, self._sendable(token)):
                self._put(message)
            if reply.times is not None:
                reply.times.mark(Stage.SERIALISE, monotonic_ns())
                self._outbox.put_late(partial(self._sent, reply.times))
            await self._outbox.room()

    def _put(self, message: pb.DiarizeResponse) -> None:
        self._outbox.put(message.SerializeToString())

    def _sent(self, times: HopTimes) -> bytes | None:
        """The transport took the replies of a hop; what follows them, where it is asked for."""
        times.mark(Stage.SEND, monotonic_ns())
        self._on_hop(times)
        if not self._session.config.send_timings:
            return None
        return messages.timings(times).SerializeToString()

    def _sendable(self, token: bytes) -> bytes:
        """The token, if there is room for it: nobody is cut for one that is not read."""
        return token if self._outbox.has_room(len(token)) else b""

    def _score(self, finish: pb.Finish) -> None:
        if not finish.HasField("score"):
            return
        if not math.isfinite(finish.score):
            raise InvalidInput(
                f"a score of {finish.score}; it is a finite number",
                reason="SCORE_INVALID",
                field="finish.score",
            )
        self._session.score(finish.score)

    async def _refuse_more(self) -> None:
        if await self._reader.next() is not None:
            raise InvalidInput(
                "a request after finish; none may follow", reason="REQUEST_AFTER_FINISH"
            )


# A client that finishes and does not half-close gets its Summary this much later: what it may have
# sent after `finish` is on the way until then, and a stream with an error has no Summary.
_CLOSING_SECONDS: Final = 0.1

_TOKEN_SAMPLES: Final = 5 * SAMPLE_RATE_HERTZ
"""Audio between two tokens at least."""


@asynccontextmanager
async def _together() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group whose first failure is raised as it is."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
