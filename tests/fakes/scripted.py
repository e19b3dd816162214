"""A Diarization server that does what a test says: for what a healthy one never does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc

from voiceflow.diarization.v1 import diarization_pb2 as pb
from voiceflow.diarization.v1 import diarization_pb2_grpc as pb_grpc
from voiceflow.rpc.status import abort_arguments

Step = Callable[[AsyncIterator[Any], Any], Awaitable[Any]]
"""One call: reads requests, and writes to or aborts its context."""


class Script(pb_grpc.DiarizationServicer):
    """Answers each call with the next step; the last step answers all that come later.

    Attributes:
        calls: Calls so far.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self.calls = 0

    async def Diarize(  # type: ignore[override] # noqa: N802 - writes to the context
        self, requests: AsyncIterator[pb.DiarizeRequest], context: Any
    ) -> None:
        """The next step."""
        await self._next(requests, context)

    async def DiarizeFile(  # noqa: N802
        self, requests: AsyncIterator[pb.DiarizeFileRequest], context: Any
    ) -> pb.DiarizeFileResponse:
        """The next step; it returns the response."""
        response = await self._next(requests, context)
        assert isinstance(response, pb.DiarizeFileResponse)
        return response

    async def GetServingState(  # noqa: N802
        self, _request: pb.GetServingStateRequest, _context: Any
    ) -> pb.GetServingStateResponse:
        """Nothing is served."""
        return pb.GetServingStateResponse()

    async def SetDraining(  # noqa: N802
        self, _request: pb.SetDrainingRequest, _context: Any
    ) -> pb.SetDrainingResponse:
        """Nothing is drained."""
        return pb.SetDrainingResponse()

    async def _next(self, requests: AsyncIterator[Any], context: Any) -> Any:
        step = self._steps[min(self.calls, len(self._steps) - 1)]
        self.calls += 1
        return await step(requests, context)


@asynccontextmanager
async def scripted(*steps: Step) -> AsyncIterator[tuple[Script, str]]:
    """Serves a script on a free port; yields it and its address."""
    script = Script(steps)
    server = grpc.aio.server()
    pb_grpc.add_DiarizationServicer_to_server(script, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield script, f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=0)


def refusing(error: Exception) -> Step:
    """A step that ends the call with an error before it begins."""

    async def step(requests: AsyncIterator[Any], context: Any) -> None:
        await anext(aiter(requests))
        await context.abort(*abort_arguments(error))

    return step


BEGIN = pb.DiarizeResponse(begin=pb.Begin(session="scripted"))
SUMMARY = pb.DiarizeResponse(summary=pb.Summary(complete=True))
