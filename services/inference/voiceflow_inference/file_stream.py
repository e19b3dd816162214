"""One recording between its client and its session: order of requests, and how it ends early."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.errors import Unavailable
from voiceflow_inference import messages
from voiceflow_inference.recording import Recording
from voiceflow_inference.requests import (
    RequestReader,
    check_audio_bytes,
    config_repeated,
    empty_request,
)
from voiceflow_inference.serving.generation import Generation
from voiceflow_inference.serving.placing import How, Places
from voiceflow_inference.session import Reply, Session
from voiceflow_inference.stages import HopTimes


class FileStream:
    """A recording after it was admitted; a `Mover`.

    Args:
        reader: Of the requests after the config.
        session: What hears the audio.
        places: Where the recording is counted.
        message_audio_bytes: Audio in one message at most.
        on_hop: Told of each hop; none is sent, so its way ends with its turns.
    """

    def __init__(
        self,
        *,
        reader: RequestReader[pb.DiarizeFileRequest],
        session: Session,
        places: Places,
        message_audio_bytes: int,
        on_hop: Callable[[HopTimes], None] = lambda _times: None,
    ) -> None:
        self._reader = reader
        self._session = session
        self._places = places
        self._message_audio_bytes = message_audio_bytes
        self._on_hop = on_hop
        self._recording = Recording()
        self._cause = Unavailable("the server is shutting down; try another one", reason="DRAINING")

    async def run(self) -> pb.DiarizeFileResponse:
        """Serves the recording to its end.

        Raises:
            VoiceFlowError: It ended with an error; DRAINING, MODEL_REPLACED: it may be sent again.
        """
        while (request := await self._reader.next()) is not None:
            match request.WhichOneof("request"):
                case "audio":
                    check_audio_bytes(request.audio, self._message_audio_bytes)
                    await self._add(self._session.hear(request.audio, self._reader.arrival))
                case "config":
                    raise config_repeated()
                case _:
                    raise empty_request()
        if self._reader.interrupted:
            raise self._cause
        await self._add(self._session.finish(self._reader.arrival))
        summary = self._session.summary(complete=True)
        return messages.file_response(self._recording, summary, self._session.generation.manifest)

    def leave(self, to: Generation | None, how: How) -> None:
        """See `Mover`."""
        if to is not None and how is not How.TOLD:
            self._session.leave_for(to, how)
            return
        self._cause = Unavailable(
            "the model was replaced by one that cannot go on with the recording; send it again",
            reason="MODEL_REPLACED",
        )
        self._reader.interrupt()

    def end(self) -> None:
        """Ends it now: the server stops."""
        self._reader.interrupt()

    async def _add(self, replies: AsyncIterator[Reply]) -> None:
        async for reply in replies:
            if reply.moved is not None:
                self._places.repin(self, reply.moved.generation)
            self._recording.add(reply.result)
            if reply.times is not None:
                self._on_hop(reply.times)
