"""One live stream between its client and its session: order of requests, and every way it ends.

A conversation ends with its Summary (after ``finish``, after half-close, or when the server stops),
with an error that its client is told, or by being cancelled, which is how deadlines and clients
that are gone appear here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Generic, TypeVar

from voiceflow.artifact import Manifest
from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.errors import InvalidInput, LimitExceeded, VoiceFlowError
from voiceflow_inference import messages
from voiceflow_inference.outbox import Outbox
from voiceflow_inference.session import Reply, Session

Request = TypeVar("Request")


class RequestReader(Generic[Request]):
    """Reads requests, none of which may be long in coming.

    Args:
        requests: From the transport; ends when the client half-closes.
        idle_seconds: How long it may take until the next one.
    """

    def __init__(self, requests: AsyncIterator[Request], idle_seconds: float) -> None:
        self._requests = requests
        self._idle_seconds = idle_seconds
        self._loop = asyncio.get_running_loop()
        self._scope: asyncio.Timeout | None = None
        self._waiting_since = 0.0
        self._watchdog: asyncio.TimerHandle | None = None
        self.interrupted = False

    async def next(self) -> Request | None:
        """The next request; None when there will be no more.

        Raises:
            LimitExceeded: It did not come in time.
        """
        if self.interrupted:
            return None
        self._waiting_since = self._loop.time()
        if self._watchdog is None:
            self._watch(self._waiting_since + self._idle_seconds)
        try:
            async with asyncio.timeout(None) as self._scope:
                return await anext(self._requests, None)
        except TimeoutError:
            self._check_interrupted()
            return None
        finally:
            self._scope = None

    def interrupt(self) -> None:
        """Ends the reading, now, as if the client had half-closed."""
        self.interrupted = True
        self._end_wait()

    def close(self) -> None:
        """Stops watching; nothing is read any more."""
        if self._watchdog is not None:
            self._watchdog.cancel()

    def _watch(self, at_seconds: float) -> None:
        """Looks when the next request is due: one timer a stream, not one a request."""
        self._watchdog = self._loop.call_at(at_seconds, self._look)

    def _look(self) -> None:
        due = self._waiting_since + self._idle_seconds
        if self._scope is None:  # busy with a request, not idle
            self._watch(self._loop.time() + self._idle_seconds)
        elif self._loop.time() < due:
            self._watch(due)
        else:
            self._end_wait()

    def _end_wait(self) -> None:
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(self._loop.time())

    def _check_interrupted(self) -> None:
        if not self.interrupted:
            raise LimitExceeded(
                f"no request came for {self._idle_seconds:g} s", reason="STREAM_IDLE"
            )


class Conversation:
    """A live stream after it was admitted.

    Args:
        reader: Of the requests after the config.
        outbox: Of the replies.
        session: What hears the audio.
        manifest: Of the model.
        generation: Which loaded model it is.
        message_audio_bytes: Audio in one message at most.
        deadline_passed: Whether the client has stopped waiting.
    """

    def __init__(
        self,
        *,
        reader: RequestReader[pb.DiarizeRequest],
        outbox: Outbox[pb.DiarizeResponse],
        session: Session,
        manifest: Manifest,
        generation: int,
        message_audio_bytes: int,
        deadline_passed: Callable[[], bool],
    ) -> None:
        self._reader = reader
        self._outbox = outbox
        self._session = session
        self._manifest = manifest
        self._generation = generation
        self._message_audio_bytes = message_audio_bytes
        self._deadline_passed = deadline_passed

    async def run(self, begin: pb.Begin) -> None:
        """Serves the stream from Begin to Summary.

        Raises:
            VoiceFlowError: The stream ended with an error; what was known before it has been sent.
        """
        failure = None
        async with _together() as tasks:
            tasks.create_task(self._outbox.run())
            try:
                self._outbox.put(pb.DiarizeResponse(begin=begin))
                await self._listen(tasks)
            except VoiceFlowError as error:
                failure = error
            self._outbox.close()
        if failure is not None:
            raise failure

    def tell_to_leave(self, seconds: float) -> None:
        """Says that the server stops, and when."""
        go_away = pb.GoAway(time_left=messages.seconds(seconds), reason="DRAINING")
        with suppress(LimitExceeded):  # a client that does not read must not keep others waiting
            self._outbox.put(pb.DiarizeResponse(go_away=go_away))

    def end(self) -> None:
        """Makes everything final now, as if the client had half-closed."""
        self._reader.interrupt()

    async def _listen(self, tasks: asyncio.TaskGroup) -> None:
        complete = False
        while not complete and (request := await self._reader.next()) is not None:
            match request.WhichOneof("request"):
                case "audio":
                    check_audio_bytes(request.audio, self._message_audio_bytes)
                    await self._send(self._session.hear(request.audio))
                case "flush":
                    await self._send(self._session.flush())
                case "finish":
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
        await self._send(self._session.finish())
        await asyncio.wait([watch], timeout=_CLOSING_SECONDS)
        if watch.done():
            watch.result()
        watch.cancel()
        summary = messages.summary(self._session.summary(complete=complete), self._manifest)
        self._outbox.put(pb.DiarizeResponse(summary=summary))

    async def _send(self, replies: AsyncIterator[Reply]) -> None:
        async for reply in replies:
            for message in messages.replies(reply, self._generation):
                self._outbox.put(message)
            await self._outbox.room()

    async def _refuse_more(self) -> None:
        if await self._reader.next() is not None:
            raise InvalidInput(
                "a request after finish; none may follow", reason="REQUEST_AFTER_FINISH"
            )


# A client that finishes and does not half-close gets its Summary this much later: what it may have
# sent after `finish` is on the way until then, and a stream with an error has no Summary.
_CLOSING_SECONDS: Final = 0.1


def check_audio_bytes(audio: bytes, limit: int) -> None:
    """Refuses a message with too much audio.

    Raises:
        InvalidInput: It has more than ``limit`` bytes.
    """
    if len(audio) > limit:
        raise InvalidInput(
            f"{len(audio)} bytes of audio in one message; allowed are {limit}",
            reason="AUDIO_MESSAGE_TOO_LARGE",
            field="audio",
        )


def empty_request() -> InvalidInput:
    """The error for a request that says nothing."""
    return InvalidInput("a request without content", reason="REQUEST_EMPTY", field="request")


def config_repeated() -> InvalidInput:
    """The error for a second config."""
    return InvalidInput(
        "a second config; a stream has one, as its first request",
        reason="CONFIG_REPEATED",
        field="config",
    )


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
